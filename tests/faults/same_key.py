"""Fifty writers to one key: one object stays, and soon one file; after a delete, none. Run with a grace of 5 s."""
import hashlib
import threading

from common import Raw, Server, case, client, finish, pattern, run_cases, same, true, wait_for
from harness import Failure

BUCKET, WRITERS = 'same-key-bucket', 50


def files(server, name):
    """The blobs of one key: its versions are the files of the folder named like it."""
    return [f for f in server.blobs() if f'/{name}/' in '/' + f]


def storm(server, key, make):
    """All writers at once; returns the digests sent. Every one of them must be told that it was stored."""
    gate, outcomes = threading.Barrier(WRITERS), []
    def write(number):
        raw, data = Raw(server), make(number)
        gate.wait()
        status, _, text = raw('PUT', f'/{BUCKET}/{key}', data=data)
        outcomes.append((status, hashlib.md5(data).hexdigest(), text[:200]))
        raw.close()
    threads = [threading.Thread(target=write, args=(n,)) for n in range(WRITERS)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    same([o for o in outcomes if o[0] != 200], [], 'refused writers')
    same(len(outcomes), WRITERS, 'writers that came back')
    return {o[1] for o in outcomes}


@case
def one_object_and_one_file_stay(server):
    client(server).create_bucket(Bucket=BUCKET)
    sent = storm(server, 'contended', lambda n: pattern(20_000 + n, n))
    answer = client(server).get_object(Bucket=BUCKET, Key='contended')
    got = hashlib.md5(answer['Body'].read()).hexdigest()
    true(got in sent, 'the object is none of those sent')
    same(answer['ETag'], f'"{got}"', 'ETag')
    same([o['Key'] for o in client(server).list_objects_v2(Bucket=BUCKET)['Contents']], ['contended'], 'objects')
    wait_for('one file', lambda: len(files(server, 'contended')) == 1, 60, 0.5)
    same(hashlib.md5((server.blob_root() / files(server, 'contended')[0]).read_bytes()).hexdigest(), got, 'the file that stayed')


@case
def the_file_goes_after_the_delete(server):
    # Not at once: a reader between two ranges may still need it. And its folder goes with it.
    client(server).delete_object(Bucket=BUCKET, Key='contended')
    wait_for('no file', lambda: not files(server, 'contended'), 60, 0.5)
    wait_for('no folder', lambda: not list(server.blob_root().rglob('contended')), 60, 0.5)


@case
def writers_and_deleters_leave_what_the_row_says(server):
    s3, stop = client(server), threading.Event()
    def delete():
        raw = Raw(server)
        while not stop.is_set():
            raw('DELETE', f'/{BUCKET}/mixed')
        raw.close()
    deleters = [threading.Thread(target=delete) for _ in range(4)]
    [t.start() for t in deleters]
    for turn in range(3):
        storm(server, 'mixed', lambda n, turn=turn: pattern(5_000, turn * 100 + n))
    stop.set()
    [t.join() for t in deleters]
    there = len([o for o in s3.list_objects_v2(Bucket=BUCKET).get('Contents', []) if o['Key'] == 'mixed'])
    wait_for(f'{there} file(s)', lambda: len(files(server, 'mixed')) == there, 60, 0.5)
    if there:
        same(len(s3.get_object(Bucket=BUCKET, Key='mixed')['Body'].read()), 5_000, 'bytes')


@case
def a_new_object_in_a_folder_that_is_being_removed_is_kept(server):
    # Removing empty folders must not race with the making of new ones.
    def churn(number):
        raw = Raw(server)
        for turn in range(40):
            key = f'/{BUCKET}/churn/deep/{number % 4}/k{number}'
            status, _, text = raw('PUT', key, data=b'churn %d %d' % (number, turn))
            if status != 200:
                problems.append((status, text[:200]))
            got = raw('GET', key)
            if got[0] != 200 or got[2] != b'churn %d %d' % (number, turn):
                problems.append((got[0], got[2][:100]))
            if raw('DELETE', key)[0] != 204:
                problems.append('delete refused')
        raw.close()
    problems = []
    threads = [threading.Thread(target=churn, args=(n,)) for n in range(16)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    same(problems[:3], [], 'problems')
    wait_for('no file', lambda: not files(server, 'churn'), 60, 0.5)


if __name__ == '__main__':
    try:
        with Server(env={'ROWLOCK_BLOB_GRACE': '5'}) as server:
            counts = run_cases(server)
    except Failure as failure:
        print(f'FAILED server: {failure}')
        counts = (0, 1)
    finish(*counts)
