"""The S3 suites through pgbouncer in transaction mode: where DATABASE_POOL_URL names it, and where DATABASE_URL does by mistake."""
import os
import re
import shutil
import subprocess

import psycopg2

import stack as stack_suite
from harness import Failure, Server, finish, free_port, temp_dir, wait_for
from pg import Postgres, stack, stack_environment, unprivileged


def program():
    return shutil.which('pgbouncer') or '/usr/sbin/pgbouncer'


class Pooler:
    """pgbouncer, transaction mode; of two server connections, state left on one would be met by the next request at once."""

    def __init__(self, db, connections=2):
        self.db, self.port, self.folder, self.connections = db, free_port(), temp_dir('rowlock-pgbouncer-'), connections

    def __enter__(self):
        who = unprivileged()
        (self.folder / 'users').write_text('"supabase_storage_admin" "postgres"\n')
        (self.folder / 'pgbouncer.ini').write_text(f"""[databases]
postgres = host=127.0.0.1 port={self.db.port} dbname=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {self.port}
unix_socket_dir =
auth_type = plain
auth_file = {self.folder}/users
pool_mode = transaction
default_pool_size = {self.connections}
max_client_conn = 200
server_reset_query_always = 0
ignore_startup_parameters = extra_float_digits,statement_timeout,options
{self.strictness()}
""")
        if who:
            for path in (self.folder, *self.folder.iterdir()):
                os.chown(path, who['user'], who['group'])
        with open(self.folder / 'log', 'wb') as log:
            self.process = subprocess.Popen([program(), '-q', self.folder / 'pgbouncer.ini'], stdout=log, stderr=log, cwd='/', **who)
        try:
            wait_for('pgbouncer', self.answers, 15)
        except Failure:
            self.__exit__()
            raise
        return self

    @staticmethod
    def strictness():
        """pgbouncer follows named statements from 1.21 on, if let; the poolers in use do not, so ours shall not either."""
        text = subprocess.run([program(), '--version'], capture_output=True, text=True).stdout
        major, minor = (int(n) for n in re.search(r'(\d+)\.(\d+)', text).groups())
        return 'max_prepared_statements = 0' if (major, minor) >= (1, 21) else ''

    def answers(self):
        if self.process.poll() is not None:
            raise Failure('pgbouncer ended: ' + (self.folder / 'log').read_text()[-500:])
        try:
            psycopg2.connect(self.db.url('supabase_storage_admin', port=self.port)).close()
            return True
        except psycopg2.OperationalError:
            return False

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def url(self):
        return self.db.url('supabase_storage_admin', port=self.port)


def play(label, environment):
    """One fresh database, one pooler, one server; the suites' counts."""
    with Postgres() as db:
        stack(db)   # the pooler's own user among it
        with Pooler(db) as pooler:
            folder = temp_dir()
            with Server(env=stack_environment(db, folder, **environment(db, pooler)), folder=folder) as server:
                return stack_suite.suites(server, label)


if __name__ == '__main__':
    passed = failed = 0
    for label, environment in (
            ('pooler in DATABASE_POOL_URL', lambda db, pooler: {'DATABASE_POOL_URL': pooler.url}),
            ('pooler in DATABASE_URL', lambda db, pooler: {'DATABASE_URL': pooler.url})):
        try:
            counts = play(label, environment)
            passed, failed = passed + counts[0], failed + counts[1]
        except Failure as failure:
            print(f'FAILED {label}: {failure}')
            failed += 1
    finish(passed, failed)
