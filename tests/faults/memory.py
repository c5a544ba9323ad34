"""Memory stays bounded whatever passes through: memory.py [GIGABYTES] (1). Peaks are the server process's own (VmHWM)."""
import hashlib
import http.client
import socket
import sys
import threading
import time
import urllib.parse

from common import Failure, Raw, Server, case, client, complete_body, finish, run_cases, same, tag, true
from signing import sign

BUCKET = 'memory-bucket'
GIGABYTES = int(sys.argv[1]) if len(sys.argv) > 1 else 1
SIZE = GIGABYTES << 30
BLOCK = hashlib.sha512(b'block').digest() * 16384       # 1 MiB


def blocks(size):
    """The body, block by block, each numbered so that a lost or swapped one is noticed."""
    for number in range(size >> 20):
        yield number.to_bytes(8, 'big') + BLOCK[8:]


def target(server, key, method):
    url = f'{server.endpoint}/{BUCKET}/{key}'
    where = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=300, blocksize=1 << 20)
    return connection, where.path, sign(server.access_key, server.secret_key, 'stub', method, url)


def upload(server, key, size):
    connection, path, headers = target(server, key, 'PUT')
    connection.request('PUT', path, body=blocks(size), headers={**headers, 'content-length': str(size)})
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    same(answer.status, 200, f'PUT {key}: {text[:300]!r}')


def download(server, key, size, pause=0.0):
    connection, path, headers = target(server, key, 'GET')
    connection.request('GET', path, headers=headers)
    answer = connection.getresponse()
    same(answer.status, 200, f'GET {key}')
    for number, want in enumerate(blocks(size)):
        got = answer.read(1 << 20)
        true(got == want, f'GET {key}: block {number} differs')
        if pause:
            time.sleep(pause)
    same(answer.read(), b'', 'bytes after the end')
    connection.close()


def at_once(*calls):
    """Runs all calls in threads; the first failure is raised."""
    errors = []
    def guarded(call):
        try:
            call()
        except Exception as error:   # told to the main thread
            errors.append(error)
    threads = [threading.Thread(target=guarded, args=(c,)) for c in calls]
    [t.start() for t in threads]
    [t.join() for t in threads]
    if errors:
        raise errors[0]


@case
def idle_connections_cost_little(server):
    open_ones = []
    for _ in range(256):
        connection = socket.create_connection(('127.0.0.1', server.port))
        connection.sendall(b'GET /status HTTP/1.1\r\nhost: localhost\r\n\r\n')
        true(connection.recv(65536).startswith(b'HTTP/1.1 200'), 'no answer on an idle connection')
        open_ones.append(connection)
    time.sleep(1)
    peak, now = server.memory()
    print(f'  256 idle connections: peak {peak:.0f} MB, now {now:.0f} MB')
    true(peak < 60, f'peak of {peak:.0f} MB with 256 idle connections')
    [c.close() for c in open_ones]


@case
def one_stream_up_and_down(server):
    client(server).create_bucket(Bucket=BUCKET)
    upload(server, 'stream', SIZE)
    up = server.memory()[0]
    download(server, 'stream', SIZE)
    peak, now = server.memory()
    print(f'  {GIGABYTES} GB: peak {up:.0f} MB after the way up, {peak:.0f} MB after the way down, now {now:.0f} MB')
    true(peak < 100, f'peak of {peak:.0f} MB')


@case
def a_slow_reader_among_others(server):
    # What a client does not take must wait in the file, not in memory.
    at_once(lambda: download(server, 'stream', SIZE, pause=0.002), *[lambda: download(server, 'stream', SIZE) for _ in range(3)])
    peak, now = server.memory()
    print(f'  four readers: peak {peak:.0f} MB, now {now:.0f} MB')
    true(peak < 100, f'peak of {peak:.0f} MB')


@case
def eight_uploads_by_parts(server):
    size = 24 << 20

    def by_parts(number):
        raw = Raw(server, timeout=300)
        key = f'/{BUCKET}/parts{number}'
        identity = tag(raw('POST', key, 'uploads=')[2], 'UploadId')
        data = b''.join(blocks(size))
        parts = []
        for part in range(1, 5):
            status, headers, text = raw('PUT', key, f'partNumber={part}&uploadId={identity}', data)
            same(status, 200, f'part: {text[:200]!r}')
            parts.append((part, headers['ETag']))
        status, _, text = raw('POST', key, f'uploadId={identity}', complete_body(parts))
        same(status, 200, f'complete: {text[:200]!r}')
        same(int(raw('HEAD', key)[1]['content-length']), 4 * size, 'length')

    at_once(*[lambda n=n: by_parts(n) for n in range(8)])
    peak, now = server.memory()
    print(f'  8 × 96 MB by parts at once: peak {peak:.0f} MB, now {now:.0f} MB')
    true(peak < 100, f'peak of {peak:.0f} MB')


if __name__ == '__main__':
    try:
        with Server(env={'ROWLOCK_BLOB_GRACE': '1'}) as server:
            counts = run_cases(server)
    except Failure as failure:
        print(f'FAILED server: {failure}')
        counts = (0, 1)
    finish(*counts)
