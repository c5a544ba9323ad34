"""Resumable uploads through kills, restarts and other servers: tus.py [ROUNDS] (1)

Writers go on with their uploads whatever happens. What a server has acknowledged never goes back, a finished object is there byte by
byte, and once all is done there are the blobs of the rows and nothing else: on files, on files that two servers share, and on an S3 service.
"""
import http.client
import os
import pathlib
import random
import socket
import sys
import threading
import time

from common import Failure, Server, finish, pattern, same, true, wait_for
from pg import Postgres, stack, stack_environment
from rest_uploads import bucket, call, fine
from store import store
from resumable import OFFSET_TYPE, Tus, all_read, service

BUCKET = 'tus-faults'
WRITERS = 8
PART = 5 * 1024 * 1024
PATIENCE = 60        # seconds that one upload may make no progress


class Writer(threading.Thread):
    """Uploads one object after the other, through whichever server answers."""

    def __init__(self, number, servers, stop):
        super().__init__()
        self.number, self.servers, self.stop = number, servers, stop
        self.dice = random.Random(f'{os.environ.get("SEED")}{number}')
        self.done, self.resumed, self.failure = [], 0, None

    def run(self):
        try:
            while not self.stop.is_set():
                # Most are small; some are more than a part of the S3 service, and more than what is recorded at a time.
                largest = 20_000_000 if self.dice.random() < 0.15 else 1_500_000
                data = pattern(self.dice.randrange(1, largest), f'{self.number}-{len(self.done)}')
                key = f'w{self.number}/{len(self.done)}'
                self.upload(key, data)
                self.done.append((key, data))
        except Exception as error:   # told by the main thread
            self.failure = f'writer {self.number}: {type(error).__name__}: {error}'

    def upload(self, key, data):
        path, acknowledged, sent, progress = None, 0, 0, time.monotonic()
        while time.monotonic() - progress < PATIENCE:
            tus = Tus(self.dice.choice(self.servers), timeout=30)
            try:
                while True:
                    if path is None:
                        answer = tus.create(BUCKET, key, len(data), x_upsert='true')
                        if answer.status == 201:
                            path = answer.path
                    answer = tus.ask('HEAD', path) if path else answer
                    if answer.status >= 500 or answer.status == 423:
                        break
                    same(answer.status, 200, f'HEAD {key}')
                    at = answer.offset
                    true(acknowledged <= at <= max(sent, acknowledged), f'{key}: {acknowledged} bytes were acknowledged, {sent} sent, HEAD says {at} of {len(data)}')
                    if at == len(data):
                        return
                    self.resumed += at != acknowledged
                    end = min(len(data), at + self.dice.choice((1, 70_000, 700_000, len(data))))
                    sent = max(sent, end)
                    answer = tus.patch(path, at, self.body(data[at:end]), x_upsert='true', content_length=str(end - at))
                    if answer.status == 204:
                        same(answer.offset, end, f'the offset of {key}')
                        acknowledged, progress = end, time.monotonic()
                    elif answer.status < 500 and answer.status not in (409, 423):
                        raise Failure(f'PATCH {key} at {at}: {answer.status} {answer.text[:200]}')
                    if answer.headers.get('connection') == 'close':
                        break
            except (OSError, http.client.HTTPException):
                pass             # the server has been killed or is about to end: that is the test
            finally:
                tus.close()
            time.sleep(0.1)
        raise Failure(f'{key} made no progress for {PATIENCE} s')

    def body(self, data):
        """In pieces, and sometimes slowly, so that a kill meets a body in its middle."""
        pause = 0.02 if self.dice.random() < 0.5 else 0
        for at in range(0, len(data), 65_536):
            yield data[at:at + 65_536]
            if pause:
                time.sleep(pause)


def load(servers, disturb):
    """Runs the writers while `disturb` does what it does; returns what they have stored."""
    stop = threading.Event()
    writers = [Writer(number, servers, stop) for number in range(WRITERS)]
    [writer.start() for writer in writers]
    try:
        disturb()
    finally:
        stop.set()
        [writer.join() for writer in writers]
    same([writer.failure for writer in writers if writer.failure], [], 'failures')
    stored = [pair for writer in writers for pair in writer.done]
    true(len(stored) >= WRITERS, f'only {len(stored)} objects')
    for number, (key, data) in enumerate(stored):
        got = fine(call(servers[number % len(servers)], 'GET', f'/object/{BUCKET}/{key}')).content
        true(got == data, f'{key}: {len(got)} bytes differ from the {len(data)} sent')
    return len(stored), sum(len(data) for _, data in stored), sum(writer.resumed for writer in writers)


def killing(servers, rounds):
    dice = random.Random(os.environ.get('SEED'))
    for number in range(rounds):
        for server in servers:
            time.sleep(dice.uniform(1.0, 2.5))
            server.kill() if number % 2 == 0 else server.stop()
            server.start()
    time.sleep(0.5)


# ---------------------------------------------------------------- one upload, by hand

class Hanging:
    """A PATCH whose client has gone away without anybody knowing."""

    def __init__(self, server, path, offset, data, length):
        self.socket = socket.create_connection(('127.0.0.1', server.port), timeout=30)
        self.socket.sendall(f'PATCH {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {service(server)}\r\ntus-resumable: 1.0.0\r\n'
                            f'upload-offset: {offset}\r\ncontent-type: {OFFSET_TYPE}\r\ncontent-length: {length}\r\n\r\n'.encode() + data)


def taken_over(one, two):
    """A client whose network changed goes on through the other server, while the first still waits for it."""
    data = pattern(3_000_000, 'over')
    path = Tus(one).begin(BUCKET, 'over', len(data))
    held = Hanging(one, path, 0, data[:1_000_000], len(data))
    all_read(held.socket)
    tus, begun = Tus(two), time.monotonic()
    at = tus.offset(path)
    true(0 < at <= 1_000_000, f'HEAD at the other server says {at}')
    answer = tus.patch(path, at, data[at:])
    if answer.status == 409:   # the first one recorded more when it let go: clients look again
        tus = Tus(two)
        at = tus.offset(path)
        answer = tus.patch(path, at, data[at:])
    same(answer.status, 204, f'PATCH at the other server: {answer.text}')
    took = time.monotonic() - begun
    true(took < 10, f'it took {took:.1f} s')
    held.socket.close()
    true(fine(call(one, 'GET', f'/object/{BUCKET}/over')).content == data, 'the object differs')


def through_a_restart(server):
    """What arrived before a server was told to stop is there when it is back."""
    data = pattern(2_000_000, 'restart')
    path = Tus(server).begin(BUCKET, 'restart', len(data))
    held = Hanging(server, path, 0, data[:900_000], len(data))
    all_read(held.socket)
    begun = time.monotonic()
    server.stop()
    true(time.monotonic() - begun < 15, 'a hanging upload held up the stop')
    server.start()
    held.socket.close()
    tus = Tus(server)
    at = tus.offset(path)
    same(at, 900_000, 'what had arrived')
    same(tus.patch(path, at, data[at:]).status, 204, 'the rest')
    true(fine(call(server, 'GET', f'/object/{BUCKET}/restart')).content == data, 'the object differs')


def through_a_kill(server):
    """What was acknowledged is there after a kill; what comes on top is the client's own bytes."""
    data = pattern(30_000_000, 'kill')
    tus = Tus(server)
    path = tus.begin(BUCKET, 'kill', len(data))
    same(tus.patch(path, 0, data[:500_000]).offset, 500_000, 'acknowledged')
    held = Hanging(server, path, 500_000, data[500_000:25_000_000], len(data) - 500_000)
    time.sleep(1)
    server.kill()
    server.start()
    held.socket.close()
    tus = Tus(server)
    at = tus.offset(path)
    true(500_000 <= at <= 25_000_000, f'offset {at}')
    same(tus.patch(path, at, data[at:]).status, 204, 'the rest')
    true(fine(call(server, 'GET', f'/object/{BUCKET}/kill')).content == data, 'the object differs')


# ---------------------------------------------------------------- what is left

def left_on_files(root, rows):
    """Files that belong to no row: blobs, and what grows. What a kill leaves of a write that had no name yet goes after a day."""
    files = [str(pathlib.Path(folder, name).relative_to(root)) for folder, _, names in os.walk(root) for name in names]
    return [file for file in files if '.rowlock/tmp/' not in file and not any(file.endswith(row) for row in rows)]


def nothing_left(sql, there):
    """Waits until what `there` finds beside the rows is nothing."""
    found = []

    def clean():
        rows = set(sql("select bucket_id || '/' || name || '/' || version from storage.objects"))
        found[:] = there(rows)
        return not found
    try:
        wait_for('nothing to be left over', clean, 120, every=1)
    except Failure as failure:
        raise Failure(f'{failure}: {len(found)}, such as {found[:3]}') from None


SETTINGS = dict(ROWLOCK_BLOB_GRACE='1s', TUS_URL_EXPIRY_MS='20000')


def on_files(rounds):
    with Server(env=SETTINGS) as server:
        bucket(server, BUCKET)
        through_a_restart(server)
        through_a_kill(server)
        told = load([server], lambda: killing([server], rounds * 2))
        nothing_left(lambda text: server.sql(text).splitlines(), lambda rows: left_on_files(server.blob_root(), rows))
        return told


def pair(env):
    return Server(env={**env, **SETTINGS}), Server(env={**env, **SETTINGS})


def on_shared_files(rounds):
    with Postgres() as db:
        stack(db)
        one, two = pair({})
        env = stack_environment(db, one.folder)
        one.environ.update(env)
        two.environ.update(env)
        with one, two:
            bucket(one, BUCKET)
            taken_over(one, two)
            told = load([one, two], lambda: killing([one, two], rounds))
            nothing_left(lambda text: [row[0] for row in db.run(text)], lambda rows: left_on_files(pathlib.Path(env['FILE_STORAGE_BACKEND_PATH']), rows))
            return told


def on_a_service(rounds):
    with store() as there, Postgres() as db:
        stack(db)
        one, two = pair(stack_environment(db, there.folder, **there.environment(STORAGE_S3_UPLOAD_PART_SIZE=str(PART))))
        with one, two:
            bucket(one, BUCKET)
            taken_over(one, two)
            through_a_restart(one)
            through_a_kill(two)
            told = load([one, two], lambda: killing([one, two], rounds))

            def left(rows):
                return [key for key in there.keys() if key.removeprefix('stub/') not in rows] + [f'upload of {key}' for key, _ in there.uploads()]
            nothing_left(lambda text: [row[0] for row in db.run(text)], left)
            return told


if __name__ == '__main__':
    rounds, passed, failed = int(sys.argv[1]) if len(sys.argv) > 1 else 1, 0, 0
    for where in (on_files, on_shared_files, on_a_service):
        if os.environ.get('ONLY', where.__name__) != where.__name__:
            continue
        begun = time.monotonic()
        try:
            objects, size, resumed = where(rounds)
        except Exception as failure:    # the other places are tried all the same
            print(f'FAILED {where.__name__}: {type(failure).__name__}: {failure}', flush=True)
            failed += 1
            continue
        passed += 1
        print(f'ok {where.__name__}: {objects} objects of {size / 1e6:.0f} MB byte-equal, {resumed} times gone on behind what was acknowledged, '
              f'nothing left over ({time.monotonic() - begun:.0f} s)', flush=True)
    finish(passed, failed)
