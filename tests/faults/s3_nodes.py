"""Two servers over one PostgreSQL and one S3 service, one of them killed under load again and again: s3_nodes.py [ROUNDS]

What one has acknowledged the other reads at once; a ledger on the client's side shows that nothing acknowledged is lost; and once the
dead server's writes have been taken over, the service holds the blobs of the rows and nothing else: no other blob, no multipart upload.
"""
import hashlib
import random
import sys
import threading
import time

import kill9
from common import Failure, Raw, Server, client, complete_body, finish, pattern, same, tag, true, wait_for
from pg import Postgres, stack, stack_environment
from store import store

BUCKET = kill9.BUCKET
WRITERS = 24
PART = 5 * 1024 * 1024


def pair(env):
    """Both with the same keys and database, each with a folder of its own."""
    return Server(env=env), Server(env=env)


def read_at_once(one, two):
    first, second = Raw(one), Raw(two)
    for number in range(50):
        data = pattern(5000, f'once{number}')
        status, _, text = first('PUT', f'/{BUCKET}/once/{number}', data=data)
        true(status == 200, f'PUT: {status} {text[:200]!r}')
        status, _, got = second('GET', f'/{BUCKET}/once/{number}')
        true((status, got) == (200, data), f'object {number} at the other server: {status}')
        first, second = second, first


def one_upload_through_both(one, two):
    first, second, data = Raw(one), Raw(two), [pattern(PART, 'p1'), pattern(PART, 'p2'), b'end']
    upload = tag(first('POST', f'/{BUCKET}/through/both', 'uploads=')[2], 'UploadId')
    parts = []
    for number, (raw, piece) in enumerate(zip((second, first, second), data), 1):
        status, headers, text = raw('PUT', f'/{BUCKET}/through/both', f'partNumber={number}&uploadId={upload}', piece)
        true(status == 200, f'part {number}: {status} {text[:200]!r}')
        parts.append((number, headers['ETag']))
    status, _, text = first('POST', f'/{BUCKET}/through/both', f'uploadId={upload}', complete_body(parts))
    true(status == 200 and b'<Error>' not in text, f'Complete: {status} {text[:300]!r}')
    same(second('GET', f'/{BUCKET}/through/both')[2] == b''.join(data), True, 'bytes through both')


def one_key_from_both(one, two):
    states, failures = [pattern(3000 + n, f'key{n}') for n in range(16)], []

    def put(number):
        raw = Raw((one, two)[number % 2])
        for _ in range(10):
            status, _, text = raw('PUT', f'/{BUCKET}/same/key', data=states[number])
            if status != 200:
                failures.append(f'{status} {text[:200]!r}')
    threads = [threading.Thread(target=put, args=(n,)) for n in range(len(states))]
    [t.start() for t in threads]
    [t.join() for t in threads]
    same(failures, [], 'refused overwrites')
    (_, _, a), (_, _, b) = Raw(one)('GET', f'/{BUCKET}/same/key'), Raw(two)('GET', f'/{BUCKET}/same/key')
    true(a == b and a in states, 'both servers read one of the states written')


def noted(db):
    """How many begun writes the ledger holds. The stack's user may make no schema: it is beside the storage tables there."""
    return db.run('select count(*) from storage.rowlock_pending')[0][0]


def settled(db, service):
    """Blobs are those of rows, and nothing is begun: what is still other than that."""
    rows = db.run("select bucket_id || '/' || name || '/' || version from storage.objects")
    want = {'stub/' + row[0] for row in rows}
    pending = noted(db)
    known = {row[0] for row in db.run('select id from storage.s3_multipart_uploads')}
    there = set(service.keys())
    uploads = [u for u in service.uploads() if u[1] not in known]
    missing = sorted(want - there)
    if missing:
        raise Failure(f'rows without a blob: {missing[:5]}')
    return {'strays': len(there - want), 'uploads': len(uploads), 'noted': pending} if there != want or uploads or pending else None


def kill_under_load(one, two, db, service, rounds):
    ledger, dice, orphans = kill9.Ledger(), random.Random(), 0
    for number in range(1, rounds + 1):
        stop = threading.Event()
        stop.failures = []
        victim = (one, two)[number % 2]
        threads = [threading.Thread(target=kill9.writer, args=(victim, n, ledger, stop, number)) for n in range(WRITERS)]
        [t.start() for t in threads]
        time.sleep(dice.uniform(0.7, 3.0))
        victim.kill()
        stop.set()
        [t.join() for t in threads]
        same(stop.failures, [], 'refusals before the kill')
        orphans += noted(db)
        other = (one, two)[(number + 1) % 2]
        # The other one has never stopped.
        kill9.verify(other, ledger)
        victim.start()
        kill9.finish_uploads(victim, ledger)
        count = kill9.verify(victim, ledger)
        left = {}
        def clean():
            left.clear()
            left.update(settled(db, service) or {})
            return not left
        try:
            wait_for('the service to hold nothing but the rows\' blobs', clean, 180, every=2)
        except Failure as failure:
            raise Failure(f'{failure}: {left}') from None
        print(f'ok round {number}: {count} objects byte-equal, nothing left over', flush=True)
    true(orphans, 'no kill left a write behind: nothing was shown')


def rolling(one, two, db, service):
    """Restarts in turn, with time to finish: a client that tries again at the other server sees no failure."""
    stop, lost, count = threading.Event(), [], [0]

    def load(number):
        raws, at = [Raw(one), Raw(two)], number
        while not stop.is_set():
            key, data = f'rolling/{number}/{count[0]}', pattern(20_000, f'{number}/{count[0]}')
            for _ in range(40):
                try:
                    status = raws[at % 2]('PUT', f'/{BUCKET}/{key}', data=data)[0]
                    if status == 200:
                        break
                except OSError:
                    pass
                except Exception:  # a connection that ends half way
                    pass
                at += 1
                time.sleep(0.05)
            else:
                lost.append(f'{key} could not be written')
                return
            count[0] += 1
            for _ in range(40):
                try:
                    status, _, got = raws[at % 2]('GET', f'/{BUCKET}/{key}')
                    if status == 200:
                        if hashlib.md5(got).digest() != hashlib.md5(data).digest():
                            lost.append(f'{key} reads other bytes')
                        break
                    lost.append(f'{key}: {status}')
                    return
                except Exception:
                    at += 1
                    time.sleep(0.05)
    threads = [threading.Thread(target=load, args=(n,)) for n in range(8)]
    [t.start() for t in threads]
    for server in (one, two, one):
        time.sleep(1)
        server.stop()
        server.start()
    stop.set()
    [t.join() for t in threads]
    same(lost, [], 'lost in a rolling restart')
    true(count[0] > 20, f'only {count[0]} objects were written')


def play(rounds):
    with store() as service, Postgres() as db:
        stack(db)
        env = stack_environment(db, service.folder, **service.environment(ROWLOCK_BLOB_GRACE='1'))
        one, two = pair(env)
        with one, two:
            client(one).create_bucket(Bucket=BUCKET)
            passed = 0
            for check in (read_at_once, one_upload_through_both, one_key_from_both):
                check(one, two)
                passed += 1
                print(f'ok {check.__name__}', flush=True)
            rolling(one, two, db, service)
            print('ok rolling', flush=True)
            s3 = client(one)
            for page in s3.get_paginator('list_objects_v2').paginate(Bucket=BUCKET):
                for some in page.get('Contents', []):
                    s3.delete_object(Bucket=BUCKET, Key=some['Key'])
            kill_under_load(one, two, db, service, rounds)
            return passed + 1 + rounds


if __name__ == '__main__':
    try:
        finish(play(int(sys.argv[1]) if len(sys.argv) > 1 else 2), 0)
    except Failure as failure:
        print(f'FAILED s3_nodes: {failure}')
        finish(0, 1)
