"""Two who write under a condition that only one of them can meet, again and again: races.py [ROUNDS]

Through one server and through two over one database, with the service's keys and as a user under row-level security: exactly one has
written, never both and never none, the object is the winner's, and in the end there are no other blobs than those of the rows.
"""
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from common import Failure, Raw, Server, client, complete_body, finish, same, tag, true, wait_for
from pg import Postgres, stack, stack_environment

BUCKET = 'races-bucket'
USER = '317eadce-631a-4429-a0bb-f19a7a517b4a'
# What the one who came late is told: the object is another, or there is none, or there is one.
LOST = {412, 404}
ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 100


class AsUser(Raw):
    """The same with a session token."""

    def __init__(self, server):
        super().__init__(server)
        self.access_key, self.secret_key = 'stub', server.keys['ANON_KEY']
        self.token = server.token(USER)

    def __call__(self, method, path, query='', data=b'', headers=None):
        return super().__call__(method, path, query, data, {**(headers or {}), 'x-amz-security-token': self.token})


class Racers:
    """Two connections whose requests go out at the same moment."""

    def __init__(self, first, second):
        self.raws = (first, second)
        self.pool = ThreadPoolExecutor(2)

    def race(self, *requests):
        """Sends both; returns the index and the answer of the one that won."""
        gate = threading.Barrier(2)

        def go(raw, request):
            gate.wait()
            return raw(*request[:2], **request[2])
        answers = [f.result() for f in [self.pool.submit(go, raw, request) for raw, request in zip(self.raws, requests)]]
        # A Complete that takes long says 200 before it knows.
        won = [n for n, (status, _, text) in enumerate(answers) if status in (200, 204) and b'<Error>' not in text]
        told = [(status, text[:200]) for status, _, text in answers]
        same(len(won), 1, f'winners of {[r[:2] for r in requests]}, told {told}')
        true(answers[1 - won[0]][0] in LOST, f'the one that lost is told {told[1 - won[0]]}')
        return won[0], answers[won[0]]

    def read(self, key):
        """The object as both see it: (ETag, bytes), or nothing."""
        seen = []
        for raw in self.raws:
            status, headers, text = raw('GET', f'/{BUCKET}/{key}')
            true(status in (200, 404), f'GET: {status} {text[:200]!r}')
            seen.append((headers['ETag'], text) if status == 200 else None)
        same(seen[0], seen[1], 'what the other one sees')
        return seen[0]

    def upload(self, key, data):
        """A multipart upload with one part: the request that completes it."""
        raw = self.raws[0]
        upload = tag(raw('POST', f'/{BUCKET}/{key}', 'uploads=')[2], 'UploadId')
        etag = raw('PUT', f'/{BUCKET}/{key}', f'partNumber=1&uploadId={upload}', data)[1]['ETag']
        return 'POST', f'/{BUCKET}/{key}', dict(query=f'uploadId={upload}', data=complete_body([(1, etag)]))


def put(key, data, **headers):
    return 'PUT', f'/{BUCKET}/{key}', dict(data=data, headers={k.replace('_', '-'): v for k, v in headers.items()})


def with_headers(request, **headers):
    return (*request[:2], {**request[2], 'headers': {k.replace('_', '-'): v for k, v in headers.items()}})


def creating(racers, label):
    for n in range(ROUNDS):
        key, bodies = f'{label}/create/{n}', (b'a%d' % n, b'b%d' % n)
        winner, (_, headers, _) = racers.race(*(put(key, body, if_none_match='*') for body in bodies))
        same(racers.read(key), (headers['ETag'], bodies[winner]), f'{key} after the race')


def replacing(racers, label):
    key = f'{label}/replace'
    etag = racers.raws[0](*put(key, b'first')[:2], data=b'first')[1]['ETag']
    for n in range(ROUNDS):
        # The same bodies again and again: tags come back that were there before.
        bodies = (b'a%d' % (n % 3), b'b%d' % (n % 3))
        winner, (_, headers, _) = racers.race(*(put(key, body, if_match=etag) for body in bodies))
        etag = headers['ETag']
        same(racers.read(key), (etag, bodies[winner]), f'{key} after race {n}')


def deleting(racers, label):
    for n in range(ROUNDS):
        key = f'{label}/delete/{n % 7}'
        etag = racers.raws[n % 2](*put(key, b'there')[:2], data=b'there')[1]['ETag']
        delete = ('DELETE', f'/{BUCKET}/{key}', dict(headers={'if-match': etag}))
        other = delete if n % 2 else put(key, b'new %d' % n, if_match=etag)
        winner, _ = racers.race(delete, other)
        stays = winner == 1 and other is not delete
        same((racers.read(key) or (None, None))[1], b'new %d' % n if stays else None, f'{key} after race {n}')


def completing(racers, label):
    for n in range(ROUNDS // 2):
        key, bodies = f'{label}/complete/{n}', (b'a%d' % n, b'b%d' % n)
        uploads = [racers.upload(key, body) for body in bodies]
        # Every third time the other one is no upload by parts.
        second = put(key, bodies[1], if_none_match='*') if n % 3 == 0 else with_headers(uploads[1], if_none_match='*')
        winner, _ = racers.race(with_headers(uploads[0], if_none_match='*'), second)
        etag, got = racers.read(key)
        same(got, bodies[winner], f'{key} after the race')
        uploads = [racers.upload(key, body + b'+') for body in bodies]
        winner, _ = racers.race(*(with_headers(upload, if_match=etag) for upload in uploads))
        same(racers.read(key)[1], bodies[winner] + b'+', f'{key} after the second race')


def leftovers(server, db):
    """Blobs that no row names, once the worker is through; rows whose blob is missing."""
    try:
        blobs = {path for path in server.blobs() if not path.startswith('multiparts/')}
    except FileNotFoundError as gone:   # the worker is at it
        return {str(gone)}
    rows = {f'stub/stub/{bucket}/{name}/{version}' for bucket, name, version in db.run('select bucket_id, name, version from storage.objects')}
    return blobs ^ rows


def play():
    passed = failed = 0
    with Postgres() as db:
        stack(db)
        first = Server(env={})
        env = stack_environment(db, first.folder, ROWLOCK_BLOB_GRACE='1')
        first.environ.update(env)
        second = Server(env=env)
        with first, second:
            client(first).create_bucket(Bucket=BUCKET)
            first.sql(f"create policy racers on storage.objects for all to authenticated using (bucket_id = '{BUCKET}' and owner_id = (select auth.uid()::text)) "
                      f"with check (bucket_id = '{BUCKET}' and owner_id = (select auth.uid()::text))")
            arrangements = {'one server': Racers(Raw(first), Raw(first)), 'two servers': Racers(Raw(first), Raw(second)),
                            'a user, two servers': Racers(AsUser(first), AsUser(second))}
            for label, racers in arrangements.items():
                for check in (creating, replacing, deleting, completing):
                    try:
                        check(racers, label.replace(' ', '-').replace(',', ''))
                        passed += 1
                        print(f'ok {check.__name__}, {label}: {ROUNDS} rounds', flush=True)
                    except Failure as failure:
                        failed += 1
                        print(f'FAILED {check.__name__}, {label}: {failure}', flush=True)
            try:
                wait_for('the blobs to be those of the rows', lambda: not leftovers(first, db), 120, every=1)
                passed += 1
                print('ok no blob without a row, no row without a blob', flush=True)
            except Failure as failure:
                failed += 1
                print(f'FAILED leftovers: {failure}: {sorted(leftovers(first, db))[:5]}', flush=True)
    finish(passed, failed)


if __name__ == '__main__':
    play()
