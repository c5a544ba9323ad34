"""The server in a database that a Supabase stack made: its user may not create schemas, and row 63 must be reached all the same.

A fresh start and an adoption must both end with the tables and rights that the stack has; both kinds of credentials work.
"""
import hashlib

import psycopg2

import boto3_lists
import boto3_multipart
import boto3_objects
import session_token
from harness import CASES, Failure, Server, case, finish, run_cases, same, temp_dir, true
from pg import Postgres, stack, stack_environment
from s3 import body, client, empty_and_delete

SUITES = {'objects': boto3_objects, 'lists': boto3_lists, 'multipart': boto3_multipart}
ALL = {'SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER'}
READ, NONE = {'SELECT'}, set()
# table: rights of (anon and authenticated, service_role, postgres)
RIGHTS = {
    'buckets': (ALL, ALL, ALL), 'objects': (ALL, ALL, ALL), 'migrations': (ALL, ALL, ALL), 'buckets_analytics': (ALL, ALL, NONE),
    's3_multipart_uploads': (READ, ALL, NONE), 's3_multipart_uploads_parts': (READ, ALL, NONE), 'iceberg_namespaces': (READ, ALL, NONE), 'iceberg_tables': (READ, ALL, NONE),
    'buckets_vectors': (READ, READ, NONE), 'vector_indexes': (READ, READ, NONE),
}


def snapshot(db):
    """Everything in schema `storage` that is not the server's own, as text."""
    return db.run("""
        select 'column', table_name || '.' || column_name, data_type || ' ' || is_nullable || ' ' || coalesce(column_default, '') from information_schema.columns where table_schema = 'storage' and table_name not like 'rowlock%'
        union all select 'index', indexname, indexdef from pg_indexes where schemaname = 'storage' and tablename not like 'rowlock%'
        union all select 'constraint', conrelid::regclass || '.' || conname, pg_get_constraintdef(oid) from pg_constraint where connamespace = 'storage'::regnamespace and conrelid::regclass::text not like '%rowlock%'
        union all select 'trigger', tgrelid::regclass || '.' || tgname, pg_get_triggerdef(oid) from pg_trigger where not tgisinternal and tgrelid::regclass::text like 'storage.%' and tgrelid::regclass::text not like '%rowlock%'
        union all select 'function', oid::regprocedure::text, md5(prosrc) || ' ' || proowner::regrole || ' ' || coalesce(proacl::text, '') from pg_proc where pronamespace = 'storage'::regnamespace and proname not like 'rowlock%'
        union all select 'table', relname, relowner::regrole || ' ' || relrowsecurity || ' ' || coalesce(relacl::text, '') from pg_class where relnamespace = 'storage'::regnamespace and relkind in ('r', 'p') and relname not like 'rowlock%'
        union all select 'migration', id::text, name || ' ' || hash from storage.migrations order by 1, 2, 3""")


@case
def the_migrations_reach_row_63(stage):
    same(stage.db.run('select count(*), min(id), max(id) from storage.migrations'), [(64, 0, 63)], 'storage.migrations')


@case
def tables_belong_to_the_storage_user_and_are_locked_by_row(stage):
    rows = stage.db.run("select relname, relowner::regrole::text, relrowsecurity from pg_class where relnamespace = 'storage'::regnamespace and relkind = 'r' and relname not like 'rowlock%'")
    same(sorted(r[0] for r in rows), sorted(RIGHTS), 'tables')
    for name, owner, secured in rows:
        same((owner, secured), ('supabase_storage_admin', True), name)


@case
def rights_are_those_of_the_stack(stage):
    for table, (public, service, postgres) in RIGHTS.items():
        for role, want in (('anon', public), ('authenticated', public), ('service_role', service), ('postgres', postgres)):
            rows = stage.db.run(f"""select x.privilege_type from pg_class c, aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) x
                where c.oid = 'storage.{table}'::regclass and x.grantee = '{role}'::regrole""")
            same({r[0] for r in rows} & ALL, want, f'{role} on {table}')
    for role in ('anon', 'service_role'):
        same(stage.db.run(f"select has_function_privilege('{role}', 'storage.foldername(text)', 'EXECUTE')"), [(True,)], f'{role} on foldername')


@case
def own_tables_are_nobodys_business(stage):
    # Without CREATE on the database they live in `storage`; default privileges must not have handed them to anon.
    rows = stage.db.run("select oid::regclass::text, relrowsecurity from pg_class where relname like 'rowlock%' and relkind in ('r', 'S')")
    true(any(name.startswith('storage.rowlock_') for name, _ in rows), f'own tables: {rows}')
    for name, _ in rows:
        for role in ('anon', 'authenticated', 'service_role'):
            for right in ('SELECT', 'INSERT', 'UPDATE', 'DELETE') if 'seq' not in name else ():
                same(stage.db.run(f"select has_table_privilege('{role}', '{name}', '{right}')"), [(False,)], f'{role}: {right} on {name}')
    for name in [name for name, secured in rows if secured][:1]:
        try:
            stage.db.run(f'set role anon; select * from {name}')
        except psycopg2.errors.InsufficientPrivilege:
            continue
        raise Failure(f'anon reads {name}')


@case
def a_second_start_changes_nothing(stage):
    before = snapshot(stage.db)
    stage.server.stop()
    stage.server.start()
    same(snapshot(stage.db), before, 'schema after a second start')


@case
def a_database_of_the_reference_is_adopted_untouched(stage):
    # What the reference leaves behind is the same schema without our own tables.
    before = snapshot(stage.db)
    s3 = client(stage.server)
    s3.create_bucket(Bucket='kept')
    s3.put_object(Bucket='kept', Key='kept.txt', Body=b'kept')
    stage.server.stop()
    for (name,) in stage.db.run("select oid::regclass::text from pg_class where relname like 'rowlock%' and relkind = 'r'"):
        stage.db.run(f'drop table {name} cascade')
    stage.db.run("do $$ declare f record; begin for f in select oid::regprocedure::text as name from pg_proc where proname like 'rowlock%' loop execute 'drop function ' || f.name || ' cascade'; end loop; end $$")
    stage.server.start()
    same(snapshot(stage.db), before, 'schema after adoption')
    same(body(client(stage.server).get_object(Bucket='kept', Key='kept.txt')), b'kept', 'object')
    s3 = client(stage.server)
    s3.delete_object(Bucket='kept', Key='kept.txt')
    s3.delete_bucket(Bucket='kept')


@case
def blobs_lie_where_the_reference_looks(stage):
    s3 = client(stage.server)
    s3.create_bucket(Bucket='layout')
    s3.put_object(Bucket='layout', Key='dir/name.txt', Body=b'bytes', ContentType='text/x')
    (version,), = stage.db.run("select version from storage.objects where bucket_id = 'layout'")
    path = stage.server.folder / 'blobs' / 'stub' / 'stub' / 'layout' / 'dir' / 'name.txt' / version
    same(path.read_bytes(), b'bytes', 'blob')
    (meta,), = stage.db.run("select metadata from storage.objects where bucket_id = 'layout'")
    same((meta['eTag'], meta['size'], meta['mimetype'], meta['contentLength']), ('"' + hashlib.md5(b'bytes').hexdigest() + '"', 5, 'text/x', 5), 'metadata')
    s3.delete_object(Bucket='layout', Key='dir/name.txt')
    s3.delete_bucket(Bucket='layout')


class Stage:
    def __init__(self, db, server):
        self.db, self.server, self.log_path, self.show_log = db, server, server.log_path, server.show_log


def suites(server, label):
    """The S3 suites and the session-token example: one count for both kinds of credentials."""
    passed = failed = 0
    for name, module in SUITES.items():
        cases = [f for f in vars(module).values() if callable(f) and getattr(f, '__module__', '') == module.__name__ and f in CASES]
        counts = run_cases(server, cases, f'{label}, {name}: ')
        passed, failed = passed + counts[0], failed + counts[1]
        s3 = client(server)
        for bucket in s3.list_buckets()['Buckets']:
            empty_and_delete(s3, bucket['Name'])
    counts = session_token.play(server, f'{label}, session token')
    return passed + counts[0], failed + counts[1]


OWN = [f for f in CASES if f.__module__ in ('__main__', 'stack')]

if __name__ == '__main__':
    passed = failed = 0
    try:
        with Postgres() as db:
            stack(db)
            folder = temp_dir()
            with Server(env=stack_environment(db, folder), folder=folder) as server:
                counts = run_cases(Stage(db, server), OWN)
                more = suites(server, 'stack')
                passed, failed = counts[0] + more[0], counts[1] + more[1]
    except Failure as failure:
        print(f'FAILED stack: {failure}')
        failed += 1
    finish(passed, failed)
