-- What the users of a benchmark may do: everything with objects of their own.
create policy bench_objects on storage.objects to authenticated
    using (owner_id = (select auth.uid()::text)) with check (owner_id = (select auth.uid()::text));
create policy bench_buckets on storage.buckets for select to authenticated using (true);
insert into storage.buckets (id, name) values ('bench-token', 'bench-token') on conflict do nothing;
