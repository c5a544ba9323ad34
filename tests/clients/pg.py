"""A private PostgreSQL for suites that bring their own database, and the database as a Supabase stack sets it up."""
import os
import pathlib
import pwd
import shutil
import subprocess

import psycopg2

from harness import Failure, free_port, temp_dir, wait_for


def bin_dir():
    named = os.environ.get('POSTGRES_BIN_DIR')
    if named:
        return pathlib.Path(named)
    found = sorted(pathlib.Path('/usr/lib/postgresql').glob('*/bin/postgres'), key=lambda p: int(p.parent.parent.name))
    if found:
        return found[-1].parent
    path = shutil.which('postgres')
    if not path:
        raise Failure('no PostgreSQL server programs found; set POSTGRES_BIN_DIR')
    return pathlib.Path(path).resolve().parent


def unprivileged():
    """Arguments for subprocess: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    for name in ('postgres', 'nobody'):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return dict(user=entry.pw_uid, group=entry.pw_gid, extra_groups=[])
    raise Failure('no user to run PostgreSQL as')


class Postgres:
    """`with Postgres() as db:` db.url() is the superuser's; fsync is off unless asked for, as these data are thrown away."""

    def __init__(self, fsync=False, **settings):
        self.folder, self.port = temp_dir('rowlock-pg-'), free_port()
        self.settings = {'listen_addresses': '127.0.0.1', 'port': self.port, 'unix_socket_directories': self.folder, 'fsync': 'on' if fsync else 'off',
                         'max_connections': 100, 'shared_buffers': '64MB', **settings}
        self.process = None

    def __enter__(self):
        who = unprivileged()
        if who:
            os.chown(self.folder, who['user'], who['group'])
        secret = self.folder / 'password'
        secret.write_text('postgres')
        secret.chmod(0o644)
        done = subprocess.run([bin_dir() / 'initdb', '-D', self.folder / 'data', '-U', 'supabase_admin', '-E', 'UTF8', '--locale=C.UTF-8', '--auth=scram-sha-256', f'--pwfile={secret}'],
                              capture_output=True, text=True, cwd='/', **who)
        if done.returncode:
            raise Failure(f'initdb: {done.stderr}')
        options = [part for name, value in self.settings.items() for part in ('-c', f'{name}={value}')]
        with open(self.folder / 'log', 'wb') as log:
            self.process = subprocess.Popen([bin_dir() / 'postgres', '-D', self.folder / 'data', *options], stdout=log, stderr=log, cwd='/', **who)
        try:
            wait_for('PostgreSQL to take connections', self.answers, 30)
        except Failure:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.send_signal(2)   # fast shutdown: running connections are ended
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def answers(self):
        if self.process.poll() is not None:
            raise Failure('PostgreSQL ended: ' + (self.folder / 'log').read_text()[-800:])
        try:
            psycopg2.connect(self.url()).close()
            return True
        except psycopg2.OperationalError:
            return False

    def url(self, user='supabase_admin', database='postgres', port=None):
        """Every user's password is `postgres`."""
        return f'postgresql://{user}:postgres@127.0.0.1:{port or self.port}/{database}'

    def run(self, text, user='supabase_admin'):
        """Runs SQL; returns the rows of the last statement, if it has any."""
        connection = psycopg2.connect(self.url(user))
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(text)
                return cursor.fetchall() if cursor.description else None
        finally:
            connection.close()


STACK = """
create role postgres login createrole createdb replication bypassrls password 'postgres';
create role anon nologin; create role authenticated nologin; create role service_role nologin bypassrls;
create role authenticator login noinherit password 'postgres';
create role supabase_auth_admin login noinherit createrole password 'postgres';
create role supabase_storage_admin login noinherit createrole password 'postgres';
create role dashboard_user nologin createrole createdb replication;
grant anon, authenticated, service_role to authenticator;
grant authenticator to supabase_storage_admin;
grant anon, authenticated, service_role, supabase_auth_admin, supabase_storage_admin, pg_read_all_data, pg_monitor, pg_signal_backend to postgres;
alter role anon set statement_timeout = '3s'; alter role authenticated set statement_timeout = '8s';
alter role authenticator set statement_timeout = '8s'; alter role authenticator set lock_timeout = '8s';
alter role supabase_storage_admin set search_path = storage;
alter database postgres owner to postgres;
grant all on database postgres to dashboard_user; revoke create on database postgres from public, dashboard_user;
grant connect, temporary, create on database postgres to dashboard_user;
grant usage on schema public to anon, authenticated, service_role;
create schema extensions; grant usage on schema extensions to anon, authenticated, service_role, postgres;
create schema auth authorization supabase_auth_admin; grant usage on schema auth to anon, authenticated, service_role, postgres, dashboard_user;
create function auth.uid() returns uuid language sql stable as $f$ select coalesce(nullif(current_setting('request.jwt.claim.sub', true), ''), nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid $f$;
create function auth.role() returns text language sql stable as $f$ select coalesce(nullif(current_setting('request.jwt.claim.role', true), ''), nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role')::text $f$;
create function auth.email() returns text language sql stable as $f$ select nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'email' $f$;
create function auth.jwt() returns jsonb language sql stable as $f$ select nullif(current_setting('request.jwt.claims', true), '')::jsonb $f$;
create schema storage authorization supabase_admin;
grant usage on schema storage to anon, authenticated, service_role;
grant usage, create on schema storage to postgres, dashboard_user, supabase_storage_admin;
set role postgres;
alter default privileges for role postgres in schema storage grant all on tables to anon, authenticated, service_role, postgres;
alter default privileges for role postgres in schema storage grant all on functions to anon, authenticated, service_role, postgres;
alter default privileges for role postgres in schema storage grant all on sequences to anon, authenticated, service_role, postgres;
reset role;
"""


def stack(db):
    """Makes the roles, memberships, schemas and rights that a Supabase stack's database image makes."""
    for statement in STACK.replace('$f$;', '$f$\0').split('\0'):
        db.run(statement)


def stack_environment(db, folder, **more):
    """The variables with which the stack starts its storage service."""
    import base64
    import hashlib
    import hmac
    import json
    secret = 'super-secret-jwt-token-with-at-least-32-characters-long'

    def jwt(role):
        encode = lambda value: base64.urlsafe_b64encode(value).rstrip(b'=')   # noqa: E731
        text = encode(b'{"alg":"HS256","typ":"JWT"}') + b'.' + encode(json.dumps({'role': role, 'iss': 'supabase', 'iat': 1641769200, 'exp': 4102444800}).encode())
        return (text + b'.' + encode(hmac.new(secret.encode(), text, hashlib.sha256).digest())).decode()

    return {'ANON_KEY': jwt('anon'), 'SERVICE_KEY': jwt('service_role'), 'PGRST_JWT_SECRET': secret, 'DATABASE_URL': db.url('supabase_storage_admin'),
            'FILE_SIZE_LIMIT': '524288000', 'STORAGE_BACKEND': 'file', 'FILE_STORAGE_BACKEND_PATH': str(folder / 'blobs'), 'TENANT_ID': 'stub', 'REGION': 'stub',
            'GLOBAL_S3_BUCKET': 'stub', 'S3_PROTOCOL_ACCESS_KEY_ID': '625729a08b95bf1b7ff351a663f3a23c',
            'S3_PROTOCOL_ACCESS_KEY_SECRET': '850181e4652dd023b7a98c58ae0d2d34bd487ee0cc3254aed6eda37307425907', 'SERVER_HOST': '127.0.0.1',
            'ENABLE_IMAGE_TRANSFORMATION': 'true', 'IMGPROXY_URL': 'http://imgproxy:5001', 'TEST_ADMIN_URL': db.url('postgres'), **more}
