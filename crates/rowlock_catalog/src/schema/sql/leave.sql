do $leave$
declare
  own text := (select n.nspname from pg_class c join pg_namespace n on n.oid = c.relnamespace
               where c.relname = 'rowlock_meta' and n.nspname in ('rowlock', 'storage') order by 1 limit 1);
  waiting bigint;
  mine regclass;
begin
  if own is null then
    raise exception 'this database has no table of Rowlock''s';
  end if;
  if exists (select from pg_stat_activity where datname = current_database() and application_name like 'Rowlock %') then
    raise exception 'a Rowlock server, or a pooler for one, is still connected to this database: stop it first';
  end if;
  execute format('lock table %1$I.rowlock_outbox, %1$I.rowlock_pending', own);
  execute format('select (select count(*) from %1$I.rowlock_outbox) + (select count(*) from %1$I.rowlock_pending)', own)
    into waiting;
  if waiting > 0 then
    raise exception '% rows of rowlock_outbox and rowlock_pending are still to be done: start Rowlock again until there are none', waiting;
  end if;
  if to_regclass(format('%I.rowlock_resumable', own)) is not null then
    execute format('select count(*) from %1$I.rowlock_resumable where completed_at is null', own) into waiting;
    if waiting > 0 then
      raise exception '% resumable uploads are not finished: start Rowlock again until they are, or have expired', waiting;
    end if;
  end if;
  if to_regclass(format('%I.rowlock_events', own)) is not null then
    execute format('select count(*) from %1$I.rowlock_events where dead_at is null', own) into waiting;
    if waiting > 0 then
      raise exception '% events are not delivered: start Rowlock again until they are, or delete them from rowlock_events', waiting;
    end if;
  end if;
  if own = 'rowlock' then
    drop schema rowlock cascade;
  else
    for mine in select oid::regclass from pg_class
                where relnamespace = 'storage'::regnamespace and relkind = 'r' and relname like 'rowlock\_%' loop
      execute format('drop table %s cascade', mine);
    end loop;
  end if;
end $leave$;
