"""Twenty thousand keys through every page size and delimiter, by both list versions, compared with a model: keys20000.py [all]

Small pages are walked for their first few hundred only, from the start and from the middle; with `all`, to the end.
"""
import functools
import itertools
import json
import random
import sys

import psycopg2
import psycopg2.extras

from common import Failure, Server, case, client, finish, run_cases, same, true
from listmodel import entries, page_entries, walk_v1, walk_v2

BUCKET, COUNT = 'many-bucket', 20_000
USER = '317eadce-631a-4429-a0bb-f19a7a517b4a'
ALL = 'all' in sys.argv[1:]
SIZES = {1: 60, 7: 60, 100: None, 999: None, 1000: None}     # page size: pages to walk (None: all)
DELIMITERS = ['', '/', 'a', 'ab', '//', '/ü', '%']
PREFIXES = ['', 'dir1', 'dir1/', 'dir2/sub', 'ü', 'z%', 'nothing/']


def names():
    """Names that tempt: case, accents, LIKE's wildcards, deep and flat folders, doubled slashes, common beginnings."""
    dice, out = random.Random(20000), set()
    parts = ['dir1', 'dir2', 'DIR1', 'sub', 'a', 'aa', 'ab', 'b', 'ü', 'é', '日本', '_', '%', 'z%_', 'x y', '']
    while len(out) < COUNT:
        depth = dice.choice((0, 1, 1, 2, 2, 3))
        folder = '/'.join(dice.choice(parts) for _ in range(depth))
        name = f'{folder}/{dice.choice(parts)}{dice.randrange(30_000):x}' if folder else f'{dice.choice(parts)}{dice.randrange(30_000):x}'
        if name.strip('/'):
            out.add(name)
    return sorted(out, key=lambda n: n.encode())


NAMES = names()
MINE = NAMES[::3]


def fill(server):
    """The rows alone: a list reads no blob, and twenty thousand uploads would only take time."""
    client(server).create_bucket(Bucket=BUCKET)
    connection = psycopg2.connect(server.database_url())
    metadata = json.dumps({'eTag': '"d41d8cd98f00b204e9800998ecf8427e"', 'size': 0, 'mimetype': 'text/plain', 'cacheControl': 'no-cache',
                           'lastModified': '2026-01-02T03:04:05.000Z', 'contentLength': 0, 'httpStatusCode': 200})
    mine = set(MINE)
    with connection, connection.cursor() as cursor:
        psycopg2.extras.execute_values(cursor, 'insert into storage.objects (bucket_id, name, owner_id, version, metadata) values %s',
                                       [(BUCKET, n, USER if n in mine else None, '7b0a3e0e-4a5d-4c58-b9f0-0d7f7b1f6b11', metadata) for n in NAMES], page_size=2000)
        cursor.execute("create policy mine on storage.objects for select to authenticated using (owner_id = (select auth.uid()::text));"
                       "create policy seen on storage.buckets for select to authenticated using (true)")
    connection.close()


@functools.cache
def wanted(mine, prefix, delimiter, after):
    return entries(MINE if mine else NAMES, prefix, delimiter, after)


def compare(s3, every, walk, size, delimiter, prefix='', after=None, pages=None):
    query = {k: v for k, v in (('Delimiter', delimiter), ('Prefix', prefix)) if v}
    if after:
        query['StartAfter'] = after
    want, at = wanted(every is MINE, prefix, delimiter, after or ''), 0
    what = f'{walk.__name__} size {size} delimiter {delimiter!r} prefix {prefix!r} after {after!r}'
    for number, answer in enumerate(walk(s3, BUCKET, pages=pages, MaxKeys=size, **query)):
        got = page_entries(answer)
        if got != want[at:at + size]:
            first = next((i for i, (g, w) in enumerate(itertools.zip_longest(got, want[at:at + size])) if g != w), 0)
            raise Failure(f'{what}, page {number}, entry {first}: got {got[first:first + 2]}, want {want[at + first:at + first + 2]} ({len(got)} entries)')
        at += len(got)
        same(answer['IsTruncated'], at < len(want), f'{what}, page {number}: IsTruncated')
    if pages is None:
        same(at, len(want), f'{what}: entries in all')


def pages_of(size):
    return None if ALL else SIZES[size]


@case
def every_size_and_delimiter_by_version_two(server):
    for size, delimiter in itertools.product(SIZES, DELIMITERS):
        compare(client(server), NAMES, walk_v2, size, delimiter, pages=pages_of(size))


@case
def every_size_and_delimiter_by_version_one(server):
    for size, delimiter in itertools.product(SIZES, DELIMITERS):
        compare(client(server), NAMES, walk_v1, size, delimiter, pages=pages_of(size))


@case
def every_prefix(server):
    for prefix, delimiter in itertools.product(PREFIXES, DELIMITERS):
        compare(client(server), NAMES, walk_v2, 1000, delimiter, prefix)


@case
def from_the_middle(server):
    for at, size, delimiter in itertools.product((1, 777, 10_000, 19_998, 19_999), (1, 7, 1000), DELIMITERS):
        compare(client(server), NAMES, walk_v2, size, delimiter, after=NAMES[at], pages=None if ALL and size > 7 else 3)


@case
def a_user_sees_every_third(server):
    # Under row-level security a page is full of permitted rows: hidden ones neither count nor end it.
    s3 = client(server, token=server.token(USER))
    for size, delimiter in itertools.product((7, 999, 1000), ('', '/', 'ab')):
        compare(s3, MINE, walk_v2, size, delimiter, pages=pages_of(size) if size == 7 else None)


@case
def the_number_of_keys_is_right(server):
    got = [k for page in walk_v2(client(server), BUCKET) for k in page_entries(page)]
    same(len(got), COUNT, 'keys')
    true(got == [('key', n) for n in NAMES], 'keys or their order differ')


if __name__ == '__main__':
    try:
        with Server() as server:
            fill(server)
            counts = run_cases(server)
    except Failure as failure:
        print(f'FAILED server: {failure}')
        counts = (0, 1)
    finish(*counts)
