"""A service that is gone, or that takes connections and says nothing: the server starts at once all the same, says what is wrong, and stops within the ten seconds
that `docker stop` leaves it; what it could not delete is left to the next one.
"""
import concurrent.futures
import socket
import time

from common import Failure, Server, case, contains, finish, free_port, run_cases, same, true, wait_for
from s3 import client
from s3_backend import health

NOTES = 60
# What docker leaves a container that it stops.
PATIENCE = 10
SENTENCE = 'GLOBAL_S3_ENDPOINT: the store cannot be reached'


class Stage:
    """A server for each kind of absence; each case does the same with both, at the same time."""
    log_path = None

    def __init__(self, servers):
        self.servers = servers

    def both(self, check):
        with concurrent.futures.ThreadPoolExecutor() as pool:
            failures = [f'{kind}: {error}' for kind, error in pool.map(lambda item: (item[0], self.tried(check, *item)), self.servers.items()) if error]
        true(not failures, '; '.join(failures))

    @staticmethod
    def tried(check, kind, server):
        try:
            check(server)
        except Exception as error:  # the other kind goes on
            return f'{type(error).__name__}: {error}'


def complaints(server):
    return [line for line in server.log_path.read_text().splitlines() if 'ERROR' in line]


@case
def the_server_answers_at_once_and_says_what_is_wrong(stage):
    def check(server):
        # A look at a service that says nothing takes longer than that, however slow this machine is.
        server.start(25)
        wait_for('the sentence in the log', lambda: complaints(server), 30)
        contains(complaints(server)[0], SENTENCE, 'the log')
        contains(' '.join(health(server)['problems']), SENTENCE, 'health')
        same(len(complaints(server)), 1, f'sentences: {complaints(server)}')
    stage.both(check)


@case
def writes_that_failed_do_not_keep_it_from_stopping(stage):
    def check(server):
        client(server).create_bucket(Bucket='stops')
        server.sql(f"""insert into rowlock.rowlock_pending (blob_key, process, created_at)
                       select 'stops/left/' || gen_random_uuid(), gen_random_uuid(), now() - interval '25 hours' from generate_series(1, {NOTES})""")
        server.stop(PATIENCE)
        # The next one takes them over, and is at them after ten seconds.
        server.start(25)
        wait_for('the notes to be taken over', lambda: 'could not be deleted' in server.log_path.read_text() or gone_on(server), 45)
        server.stop(PATIENCE)
    stage.both(check)


def gone_on(server):
    """Fifteen seconds after the notes were taken over the server is at them, whether it has said so or not."""
    owners = server.sql('select count(distinct process) from rowlock.rowlock_pending')
    if owners != '1':
        return False
    time.sleep(15)
    return True


@case
def nor_do_deletions_that_are_under_way(stage):
    def check(server):
        server.start(25)
        same(int(server.sql('select count(*) from rowlock.rowlock_pending')), NOTES, 'notes for the next server')
        server.sql("insert into storage.objects (bucket_id, name, version) values ('stops', 'there', gen_random_uuid()::text)")
        client(server).delete_object(Bucket='stops', Key='there')
        wait_for('the deletion to begin', lambda: server.sql('select count(*) from rowlock.rowlock_outbox where attempts > 0') == '1', 30)
        server.stop(PATIENCE)
    stage.both(check)


def run():
    with socket.socket() as quiet:
        quiet.bind(('127.0.0.1', 0))
        quiet.listen(500)
        ports = {'gone': free_port(), 'hangs': quiet.getsockname()[1]}
        servers = {kind: Server(env={'STORAGE_BACKEND': 's3', 'GLOBAL_S3_ENDPOINT': f'http://127.0.0.1:{port}', 'GLOBAL_S3_FORCE_PATH_STYLE': 'true',
                                     'AWS_ACCESS_KEY_ID': 'id', 'AWS_SECRET_ACCESS_KEY': 'secret', 'REGION': 'stub', 'ROWLOCK_BLOB_GRACE': '0s'})
                   for kind, port in ports.items()}
        try:
            return run_cases(Stage(servers))
        finally:
            for server in servers.values():
                server.discard()


if __name__ == '__main__':
    try:
        counts = run()
    except Failure as failure:
        print(f'FAILED s3_stops: {failure}')
        counts = (0, 1)
    finish(*counts)
