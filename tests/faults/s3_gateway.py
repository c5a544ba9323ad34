"""What the server costs in front of an S3 service: the same client, objects and minutes, through the server and past it; and its memory while 1 GB passes.

Prints the figures; what is checked is memory alone, since the machine's other work decides the rest: s3_gateway.py [MEGABYTES]
"""
import http.client
import os
import statistics
import sys
import time
import urllib.parse

from common import Failure, Server, finish, pattern, true
from signing import sign
from store import BUCKET, KEY, REGION, SECRET, store

CHUNK = pattern(1024 * 1024, 'chunk')


class Target:
    """An S3 endpoint, by hand: no SDK's time is part of the figures."""

    def __init__(self, endpoint, bucket, access_key, secret_key):
        self.base, self.bucket, self.key = urllib.parse.urlsplit(endpoint), bucket, (access_key, secret_key)
        self.connection = http.client.HTTPConnection(self.base.hostname, self.base.port, timeout=120)

    def __call__(self, method, key, body=b'', length=None):
        path = f'{self.base.path}/{self.bucket}{"/" + key if key else ""}'
        headers = sign(*self.key, REGION, method, f'http://{self.base.netloc}{path}')
        headers['content-length'] = str(len(body) if length is None else length)
        self.connection.request(method, path, body=body, headers=headers)
        answer = self.connection.getresponse()
        size = 0
        while chunk := answer.read(1024 * 1024):
            size += len(chunk)
        true(answer.status in (200, 204), f'{method} {key}: {answer.status}')
        return size

    def stream(self, key, megabytes):
        self('PUT', key, (CHUNK for _ in range(megabytes)), megabytes * len(CHUNK))


def seconds(work):
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def compare(direct, through):
    small = pattern(10_000, 'small')
    # In turn, so that both see the same machine.
    figures = {}
    for name, work in (('PUT 10 KB', lambda t, n: t('PUT', f'small/{n}', small)), ('GET 10 KB', lambda t, n: t('GET', f'small/{n}'))):
        times = {direct: [], through: []}
        for n in range(300):
            for target in times:
                times[target].append(seconds(lambda: work(target, n)))
        a, b = (statistics.median(times[t]) * 1000 for t in (direct, through))
        figures[name] = f'{a:.2f} ms direct, {b:.2f} ms through: {b - a:+.2f} ms'
    for name, work in (('PUT 100 MB', lambda t, n: t.stream(f'big/{n}', 100)), ('GET 100 MB', lambda t, n: t('GET', f'big/{n}'))):
        times = {direct: [], through: []}
        for n in range(5):
            for target in times:
                times[target].append(seconds(lambda: work(target, n)))
        a, b = (statistics.median(times[t]) for t in (direct, through))
        figures[name] = f'{100 / a:.0f} MB/s direct, {100 / b:.0f} MB/s through: {(b / a - 1) * 100:+.0f} % time'
    for name, text in figures.items():
        print(f'{name}: {text}', flush=True)


def play(megabytes, apart):
    """`apart`: the service has a core to itself, as if it were another machine; else all three share what there is."""
    cores = sorted(os.sched_getaffinity(0))
    print(f'the service on one of {len(cores)} cores, the server and the client on the others' if apart else f'all on the same {len(cores)} cores', flush=True)
    try:
        # Children start with what their parent has.
        os.sched_setaffinity(0, cores[:1] if apart else cores)
        with store() as service:
            os.sched_setaffinity(0, cores[1:] if apart else cores)
            with Server(env=service.environment()) as server:
                direct = Target(service.endpoint, BUCKET, KEY, SECRET)
                through = Target(server.endpoint, 'gateway-bucket', server.access_key, server.secret_key)
                through('PUT', '')
                compare(direct, through)
                through.stream('huge', megabytes)
                true(through('GET', 'huge') == megabytes * len(CHUNK), 'length')
                peak, now = server.memory()
                print(f'{megabytes} MB up and down: {peak:.0f} MB of memory at most, {now:.0f} MB now', flush=True)
                true(peak < 100, f'{peak:.0f} MB of memory')
    finally:
        os.sched_setaffinity(0, cores)


if __name__ == '__main__':
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 1024
    ways = (True, False) if len(os.sched_getaffinity(0)) > 1 else (False,)
    try:
        for apart in ways:
            play(megabytes, apart)
        finish(len(ways), 0)
    except Failure as failure:
        print(f'FAILED s3_gateway: {failure}')
        finish(0, 1)
