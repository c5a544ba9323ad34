"""kill -9 of the server in the middle of a hundred concurrent uploads, again and again: kill9.py [ROUNDS]

A ledger on the client's side holds the hash of every byte that was acknowledged, and of what was under way when the server died.
After each restart (which needs no hand) every acknowledged object reads back byte-equal, acknowledged deletes stay deleted,
nothing is visible that is neither the acknowledged nor the pending state, and begun multipart uploads can be finished.
"""
import hashlib
import http.client
import os
import random
import sys
import threading
import time

from common import Failure, Raw, Server, client, complete_body, finish, pattern, same, tag, true

BUCKET = 'kill-bucket'
WRITERS, MULTIPART = 100, 12
PART = 5 * 1024 * 1024
GONE = 'gone'


class Ledger:
    """key → (acknowledged state, states under way). A state is a hash, GONE, or None for never written."""

    def __init__(self):
        self.lock, self.acknowledged, self.pending, self.uploads = threading.Lock(), {}, {}, {}

    def begin(self, key, state):
        with self.lock:
            self.pending.setdefault(key, set()).add(state)

    def done(self, key, state):
        with self.lock:
            self.acknowledged[key] = state
            self.pending[key].discard(state)

    def permitted(self, key):
        return {self.acknowledged.get(key)} | self.pending.get(key, set())

    def keys(self):
        return set(self.acknowledged) | set(self.pending)

    def settle(self, key, state):
        """What was found after a restart is the state from now on."""
        self.acknowledged[key] = state
        self.pending.pop(key, None)


def digest(data):
    return hashlib.sha256(data).hexdigest()


def writer(server, number, ledger, stop, round_number):
    """New keys, one key written over and over, deletes; or multipart uploads."""
    raw, dice, count = Raw(server), random.Random(number * 1000 + round_number), 0
    try:
        while not stop.is_set():
            count += 1
            if number < MULTIPART:
                multipart(raw, f'r{round_number}/multi/{number}-{count}', ledger, dice)
                continue
            key = f'r{round_number}/w{number}/k{count}' if count % 3 else f'same/w{number}'
            data = pattern(dice.choice((0, 1, 1000, 10_000, 70_000, 300_000)), f'{round_number}-{number}-{count}')
            ledger.begin(key, digest(data))
            status, _, text = raw('PUT', f'/{BUCKET}/{key}', data=data)
            true(status == 200, f'PUT {key}: {status} {text[:300]!r}')
            ledger.done(key, digest(data))
            if count % 7 == 0:
                ledger.begin(key, GONE)
                status, _, text = raw('DELETE', f'/{BUCKET}/{key}')
                true(status == 204, f'DELETE {key}: {status} {text[:300]!r}')
                ledger.done(key, GONE)
    except (OSError, http.client.HTTPException):
        pass          # the server has been killed: that is the test
    except Failure as failure:
        if not stop.is_set():
            stop.failures.append(str(failure))
    finally:
        raw.close()


def multipart(raw, key, ledger, dice):
    first, second = pattern(PART, key), pattern(dice.randrange(1, 200_000), key + 'b')
    status, _, text = raw('POST', f'/{BUCKET}/{key}', 'uploads=')
    true(status == 200, f'create {key}: {status} {text[:300]!r}')
    upload, parts = tag(text, 'UploadId'), []
    with ledger.lock:
        ledger.uploads[key] = (upload, parts, (first, second))
    for number, data in ((1, first), (2, second)):
        status, headers, text = raw('PUT', f'/{BUCKET}/{key}', f'partNumber={number}&uploadId={upload}', data)
        true(status == 200, f'part of {key}: {status} {text[:300]!r}')
        parts.append((number, headers['ETag']))
    whole = digest(first + second)
    ledger.begin(key, whole)
    status, _, text = raw('POST', f'/{BUCKET}/{key}', f'uploadId={upload}', complete_body(parts))
    true(status == 200 and b'<Error>' not in text, f'complete {key}: {status} {text[:300]!r}')
    ledger.done(key, whole)
    with ledger.lock:
        del ledger.uploads[key]


def verify(server, ledger):
    """Reads everything back; returns how many objects there are."""
    raw, s3 = Raw(server), client(server)
    for key in sorted(ledger.keys()):
        status, headers, data = raw('GET', f'/{BUCKET}/{key}')
        true(status in (200, 404), f'GET {key}: {status} {data[:300]!r}')
        state = digest(data) if status == 200 else GONE
        permitted = {GONE if p is None else p for p in ledger.permitted(key)}
        if state not in permitted:
            raise Failure(f'{key} reads {state[:12]} ({len(data)} bytes), permitted: {sorted(p[:12] for p in permitted)}')
        ledger.settle(key, state)
    listed = {o['Key']: o for page in s3.get_paginator('list_objects_v2').paginate(Bucket=BUCKET) for o in page.get('Contents', [])}
    want = {key for key, state in ledger.acknowledged.items() if state != GONE}
    same(set(listed) ^ want, set(), 'keys listed but not known, or known but not listed')
    return len(listed)


def finish_uploads(server, ledger):
    """A part that was acknowledged is there after the restart: the client goes on where it was."""
    raw = Raw(server)
    for key, (upload, parts, datas) in list(ledger.uploads.items()):
        status, _, text = raw('GET', f'/{BUCKET}/{key}', f'uploadId={upload}')
        if ledger.acknowledged.get(key) == digest(b''.join(datas)):
            continue      # its Complete had been carried out, only the answer was lost
        true(status == 200, f'list parts of {key}: {status} {text[:300]!r}')
        for number, etag in parts:
            true(etag.strip('"').encode() in text, f'acknowledged part {number} of {key} is not listed')
        done = dict(parts)
        for number, data in enumerate(datas, 1):
            if number not in done:
                status, headers, text = raw('PUT', f'/{BUCKET}/{key}', f'partNumber={number}&uploadId={upload}', data)
                true(status == 200, f'part of {key} after restart: {status} {text[:300]!r}')
                done[number] = headers['ETag']
        status, _, text = raw('POST', f'/{BUCKET}/{key}', f'uploadId={upload}', complete_body(sorted(done.items())))
        true(status == 200 and b'<Error>' not in text, f'complete {key} after restart: {status} {text[:300]!r}')
        status, _, data = raw('GET', f'/{BUCKET}/{key}')
        true(data == b''.join(datas), f'{key}: bytes differ after the late Complete')
        ledger.settle(key, digest(data))
    ledger.uploads.clear()


def play(server, rounds):
    ledger = Ledger()
    client(server).create_bucket(Bucket=BUCKET)
    dice = random.Random(os.environ.get('SEED'))
    for number in range(1, rounds + 1):
        stop = threading.Event()
        stop.failures = []
        before = sum(1 for s in ledger.acknowledged.values() if s != GONE)
        threads = [threading.Thread(target=writer, args=(server, n, ledger, stop, number)) for n in range(WRITERS)]
        [t.start() for t in threads]
        wait = dice.uniform(0.5, 4.0)
        time.sleep(wait)
        server.kill()
        stop.set()
        [t.join() for t in threads]
        same(stop.failures, [], 'refusals before the kill')
        under_way = sum(len(p) for p in ledger.pending.values())
        begun = time.monotonic()
        server.start()
        again = time.monotonic() - begun
        objects = verify(server, ledger)
        late = len(ledger.uploads)
        finish_uploads(server, ledger)
        print(f'ok kill9 round {number}: killed after {wait:.1f} s with {under_way} writes under way, started again in {again:.1f} s, '
              f'{objects} objects byte-equal ({objects - before:+}), {late} multipart uploads gone on with', flush=True)
    return rounds


if __name__ == '__main__':
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    try:
        with Server() as server:
            finish(play(server, rounds), 0)
    except Failure as failure:
        print(f'FAILED kill9: {failure}')
        finish(0, 1)
