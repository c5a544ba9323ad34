"""Lists of many objects: every statement goes by the index, every key comes once while others come and go: lists.py [ROWS] (10000)

Three buckets of so many rows: `flat`, `deep`, and `wide` with a folder that holds half of them. Each is listed with the service key, by a user under
a policy on the first folder, and under one on the owner that admits one row in ten. PostgreSQL's auto_explain tells what the server's own statements
did. From a million rows on, a page in name order must take less than 30 ms of the database's time: processor time, so that neighbours on the machine
don't count; what passed on the clock is printed beside it. LISTS_SHUFFLED=1 puts rows in no order on disk.
"""
import base64
import collections
import contextlib
import http.client
import itertools
import json
import os
import random
import re
import statistics
import sys
import threading
import time
import urllib.parse

import psycopg2

from common import Failure, Server, case, finish, run_cases, same, temp_dir, true
from listmodel import entries
from pg import Postgres, stack, stack_environment
from signing import sign

ROWS = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
TIMED = ROWS >= 1_000_000
LIMIT_MS = 30
RUNS = 9 if TIMED else 1
ALICE, CAROL = '317eadce-631a-4429-a0bb-f19a7a517b4a', 'f8c7bce9-cfeb-497b-bd61-e66ce2cbdaa2'
NAMES = {
    'flat': "case i % 3 when 0 then 'IMG_' when 1 then 'img-' else 'Document ' end || lpad(i::text, 8, '0') || '.jpg'",
    'deep': f"""case when i % 5 = 0 then '{ALICE}' else md5((i % (1 + {ROWS} / 500))::text)::uuid::text end
                || to_char(date '2020-01-01' + i / 500, '/YYYY/MM/DD/') || i || '.jpg'""",
    'wide': f"""case when i <= {ROWS} / 2 then 'big/' || i || '.txt' when i <= {ROWS} / 4 * 3 then '{ALICE}/album/' || i || '.txt' else 'd' || i || '/x.txt' end""",
}
# What each may see: the policy for `authenticated`, and the same in SQL for the model.
ACTORS = {'service key': (None, 'true'),
          'own folder': ('(storage.foldername(name))[1] = auth.uid()::text', f"name like '{ALICE}/%'"),
          'one in ten': ('owner_id = (select auth.uid()::text)', f"owner_id = '{ALICE}'")}
NAME_INDEX = 'idx_objects_bucket_id_name'


class Stage:
    """A database with auto_explain, the rows, and a server."""

    def __init__(self, db, server, folder):
        self.db, self.server, self.folder = db, server, folder
        self.log = db.folder / 'log'
        self.tokens = {who: server.token(who) for who in (ALICE, CAROL)}
        self.models = {}

    def fill(self):
        begun = time.monotonic()
        order = "order by hashtext(i || 'x')" if os.environ.get('LISTS_SHUFFLED') else ''
        metadata = {'eTag': '"d41d8cd98f00b204e9800998ecf8427e"', 'size': 12345, 'mimetype': 'text/plain', 'cacheControl': 'no-cache',
                    'lastModified': '2026-01-02T03:04:05.000Z', 'contentLength': 12345, 'httpStatusCode': 200}
        for bucket, name in NAMES.items():
            self.db.run(f"""insert into storage.buckets (id, name) values ('{bucket}', '{bucket}');
                insert into storage.objects (bucket_id, name, owner_id, version, metadata)
                select '{bucket}', n, case when abs(hashtext(n)) % 10 = 0 then '{ALICE}' end, gen_random_uuid()::text, '{json.dumps(metadata)}'
                from (select {name} from generate_series(1, {ROWS}) i {order}) rows(n)""")
        self.db.run('vacuum analyze storage.objects')
        self.db.run('create policy seen on storage.buckets for select using (true)')
        size = self.db.run("select pg_size_pretty(pg_total_relation_size('storage.objects'))")[0][0]
        print(f'  {len(NAMES)} buckets of {ROWS} rows in {time.monotonic() - begun:.0f} s, {size}')

    def become(self, actor):
        policy, _ = ACTORS[actor]
        self.db.run('drop policy if exists rule on storage.objects' + (f'; create policy rule on storage.objects for select to authenticated using ({policy})' if policy else ''))
        return self.tokens[ALICE] if policy else None

    def names(self, actor, bucket):
        key = (actor, bucket)
        if key not in self.models:
            rows = self.db.run(f"""select name from storage.objects where bucket_id = '{bucket}' and {ACTORS[actor][1]} order by name collate "C" """)
            self.models[key] = [r[0] for r in rows]
        return self.models[key]

    # ------------------------------------------------------------ requests
    def s3(self, bucket, token=None, **query):
        """One page: (its entries, the next query), entries as ('key' or 'prefix', name) in order."""
        version, tail = query.pop('version', 2), query.pop('tail', {})
        asked = {k.replace('_', '-'): str(v) for k, v in {**query, **tail}.items() if v != ''}
        asked.update({1: {}, 2: {'list-type': '2'}, 'versions': {'versions': ''}}[version])
        url = f'{self.server.url}/storage/v1/s3/{bucket}?' + urllib.parse.urlencode(sorted(asked.items()), quote_via=urllib.parse.quote)
        text = self.signed(url, token)
        found = [('key', k) for k in re.findall('<Key>(.*?)</Key>', text)] + [('prefix', p) for p in re.findall('<CommonPrefixes><Prefix>(.*?)</Prefix>', text)]
        found.sort(key=lambda e: e[1].encode())
        if '<IsTruncated>true' not in text:
            return found, None
        one = lambda tag: re.search(f'<{tag}>(.*?)</{tag}>', text)[1]   # noqa: E731
        marker = lambda: one('NextMarker') if '<NextMarker>' in text else found[-1][1]   # noqa: E731
        return found, {1: lambda: {'marker': marker()}, 2: lambda: {'continuation-token': one('NextContinuationToken')},
                       'versions': lambda: {'key-marker': one('NextKeyMarker'), 'version-id-marker': one('NextVersionIdMarker')}}[version]()

    def uploads(self, bucket, token, tail):
        """One page of pending uploads: (key, id)."""
        url = f'{self.server.url}/storage/v1/s3/{bucket}?' + urllib.parse.urlencode(sorted({'uploads': '', **tail}.items()), quote_via=urllib.parse.quote)
        text = self.signed(url, token)
        return re.findall('<Upload><Key>(.*?)</Key><UploadId>(.*?)</UploadId>', text)

    def signed(self, url, token):
        access, secret = (self.server.keys['TENANT_ID'], self.server.keys['ANON_KEY']) if token else (self.server.access_key, self.server.secret_key)
        status, text = self.get(url, sign(access, secret, self.server.region, 'GET', url, headers={'x-amz-security-token': token} if token else None))
        same(status, 200, f'{url}: {text[:300]}')
        return text

    def rest(self, path, body, token=None):
        raw = self.connection()
        head = {'authorization': f'Bearer {token or self.server.keys["SERVICE_KEY"]}', 'content-type': 'application/json'}
        raw.request('POST', f'/storage/v1/object/{path}', json.dumps(body), head)
        answer = raw.getresponse()
        text = answer.read()
        same(answer.status, 200, f'{path}: {text[:300]}')
        return json.loads(text)

    def rest_v2(self, bucket, token=None, delimiter='', prefix='', max_keys=1000, down=False, tail=None):
        answer = self.rest(f'list-v2/{bucket}', {'prefix': prefix, 'with_delimiter': bool(delimiter), 'limit': max_keys,
                                                 **({'cursor': tail} if tail else {'sortBy': {'column': 'name', 'order': 'desc' if down else 'asc'}})}, token)
        found = [('key', o['name']) for o in answer['objects']] + [('prefix', o['name']) for o in answer['folders']]
        found.sort(key=lambda e: e[1].encode(), reverse=down)
        return found, answer.get('nextCursor')

    def connection(self):
        return http.client.HTTPConnection('127.0.0.1', self.server.port, timeout=120)

    def get(self, url, headers):
        raw, where = self.connection(), urllib.parse.urlsplit(url)
        raw.request('GET', where.path + '?' + where.query, headers=headers)
        answer = raw.getresponse()
        text = answer.read().decode()
        raw.close()
        return answer.status, text

    # ------------------------------------------------------------ what the database did
    def explained(self, work, table='objects'):
        """Runs work(); returns its result, and (Times, plan) of each list of the table's rows that it caused."""
        at = self.log.stat().st_size
        result = work()
        deadline = time.monotonic() + 10
        while True:
            with open(self.log, errors='replace') as log:
                log.seek(at)
                found = list(statements(log.read(), table))
            if found or time.monotonic() > deadline:
                return result, found
            time.sleep(0.01)


Times = collections.namedtuple('Times', 'busy clock')
USAGE = r'\[(\d+)\] LOG:  EXECUTOR STATISTICS\n.*\n\t!\t([\d.]+) s user, ([\d.]+) s system'
# Up to its last brace: what is only half written yet is read again.
PLAN = r'\[(\d+)\] LOG:  duration: ([\d.]+) ms  plan:\n((?:\t.*\n)*?\t\}\n)'


def statements(log, table):
    """What the database logged of lists: a statement's usage when it has run, and its plan when it is closed, before the next one runs."""
    busy = {}
    for m in re.finditer(f'{USAGE}|{PLAN}', log):
        if m[1]:
            busy[m[1]] = 1000 * (float(m[2]) + float(m[3]))
            continue
        plan = json.loads(m[6])
        reads = {n.get('Relation Name') for n in nodes(plan['Plan'])}
        if 'LIMIT' in plan['Query Text'] and 'ORDER BY' in plan['Query Text'] and table in reads:
            yield Times(busy.pop(m[4]), float(m[5])), plan['Plan']


def total(plans):
    return Times(*(sum(each) for each in zip(*(times for times, _ in plans)))) if plans else Times(0, 0)


def typical(times):
    """The least disturbed run's processor time (neighbours empty the caches too), and what usually passed on the clock."""
    return Times(min(t.busy for t in times), statistics.median(t.clock for t in times))


def nodes(plan):
    yield plan
    for child in plan.get('Plans', []):
        yield from nodes(child)


def shape(plan):
    """A plan in a line: its nodes outside in, with indexes."""
    return ' > '.join(n['Node Type'] + (f' {n["Index Name"]}' if 'Index Name' in n else '') for n in nodes(plan) if n['Node Type'] not in ('Result', 'Subquery Scan', 'Nested Loop', 'WorkTable Scan'))


def by_index(plan, what, index=NAME_INDEX, table='objects'):
    """No row of the table is reached but through the index, which gives the order too; or by its name."""
    reached = [n for n in nodes(plan) if n.get('Relation Name') == table or n['Node Type'].startswith('Bitmap')]
    true(reached, f'{what}: no node reads {table}: {shape(plan)}')
    for node in reached:
        named = '(name = ' in node.get('Index Cond', '')
        true(node['Node Type'] in ('Index Scan', 'Index Only Scan') and (node['Index Name'] == index or named), f'{what}: {shape(plan)}')
    true(not any(n['Node Type'] == 'Sort' for n in nodes(plan)), f'{what}: sorted: {shape(plan)}')


def measure(stage, what, page, want, **checks):
    """Often enough for the generic plan too; the entries must be the model's, the plan by index, the time below the limit."""
    times, shapes = [], {}
    for _ in range(RUNS + 5):
        found, plans = stage.explained(page, checks.get('table', 'objects'))
        same(found, want, f'{what}: entries')
        for _, plan in plans:
            by_index(plan, what, **checks)
        times.append(total(plans))
        shapes[shape(plans[0][1])] = True
    timed = typical(times[-RUNS:])
    if TIMED:
        print(f'  {what:<66} {len(want):>5} entries, {timed.busy:6.1f} ms (clock {timed.clock:.1f})', flush=True)
    return timed, shapes


def places(want):
    """After which entry pages begin: at the start, in the middle, near the end; plans are the same anywhere."""
    if TIMED or len(want) <= 3:
        yield 'start', 0
    if len(want) > 3:
        yield 'middle', len(want) // 2
    if TIMED and len(want) > 3:
        yield 'end', max(len(want) - 1000, 1)


def prefixes(actor, bucket):
    if actor == 'own folder':
        return {'flat': [], 'deep': [f'{ALICE}/', f'{ALICE}/2020/01/'], 'wide': [f'{ALICE}/', f'{ALICE}/album/']}[bucket]
    return {'flat': [''], 'deep': ['', f'{ALICE}/'], 'wide': ['', 'big/']}[bucket]


def lists(stage):
    """(actor, token, bucket, prefix, delimiter, the model's entries): everything that is listed."""
    for actor in ACTORS:
        token = stage.become(actor)
        for bucket in NAMES:
            for prefix in prefixes(actor, bucket):
                for delimiter in ('', '/'):
                    yield actor, token, bucket, prefix, delimiter, entries(stage.names(actor, bucket), prefix, delimiter)


def pages_by(stage, protocol, call, directions=(False,)):
    slow, shapes = [], {}
    for actor, token, bucket, prefix, delimiter, want in lists(stage):
        for down in directions:
            ordered = want[::-1] if down else want
            for place, at in places(ordered):
                what = f'{protocol}, {actor}, {bucket}/{prefix.replace(ALICE, "ALICE")} by {delimiter or "nothing"}, {place}{" down" if down else ""}'
                page = lambda: call(bucket, token, prefix, delimiter, ordered[at - 1] if at else None, down)   # noqa: E731, B023
                took, found = measure(stage, what, page, ordered[at:at + 1000])
                shapes.update(found)
                if took.busy >= LIMIT_MS:
                    slow.append((what, took.busy))
    for text in shapes:
        print(f'  plan: {text}')
    true(not TIMED or not slow, f'slower than {LIMIT_MS} ms: {slow}')


@case
def pages_of_s3_go_by_the_index(stage):
    pages_by(stage, 'S3 v2', lambda bucket, token, prefix, delimiter, after, down: stage.s3(
        bucket, token, prefix=prefix, delimiter=delimiter, max_keys=1000, start_after=after[1] if after else '')[0])


@case
def pages_of_rest_v2_go_by_the_index(stage):
    def call(bucket, token, prefix, delimiter, after, down):
        cursor = base64.b64encode(f'l:{after[1]}\no:{"desc" if down else "asc"}'.encode()).decode() if after else None
        return stage.rest_v2(bucket, token, delimiter, prefix, 1000, down, cursor)[0]

    pages_by(stage, 'REST v2', call, directions=(False, True))


@case
def other_lists_of_s3_go_by_the_index(stage):
    token = stage.become('one in ten')
    for version in (1, 'versions'):
        for delimiter in ('', '/'):
            want = entries(stage.names('one in ten', 'deep'), '', delimiter)[:1000]
            measure(stage, f'S3 {version}, one in ten, deep by {delimiter or "nothing"}', lambda: stage.s3('deep', token, version=version, delimiter=delimiter, max_keys=1000)[0], want)   # noqa: B023


@case
def pending_uploads_go_by_the_index(stage):
    """Of one key there may be many; a caller under row-level security lists its own."""
    stage.db.run(f"""insert into storage.s3_multipart_uploads (id, in_progress_size, upload_signature, bucket_id, key, version, owner_id)
        select 'u' || lpad(i::text, 8, '0'), 0, '', 'deep', 'up/' || i % ({ROWS} / 50) / 10 || '/' || i % ({ROWS} / 50), gen_random_uuid()::text, case when i % 10 = 3 then '{ALICE}' end
        from generate_series(1, {ROWS} / 10) i""")
    stage.db.run('analyze storage.s3_multipart_uploads')
    token = stage.become('own folder')
    for who, mine, filtered in ((None, 'service key', 'true'), (token, 'own uploads', f"owner_id = '{ALICE}'")):
        rows = [tuple(r) for r in stage.db.run(f'select key, id from storage.s3_multipart_uploads where {filtered} order by key, id collate "C"')]
        for place in sorted({0, len(rows) // 2, max(len(rows) - 500, 0)}):
            tail = {'key-marker': rows[place - 1][0], 'upload-id-marker': rows[place - 1][1]} if place else {}
            page = lambda: stage.uploads('deep', who, tail)   # noqa: E731, B023
            measure(stage, f'ListMultipartUploads, {mine}, from {place}', page, rows[place:place + 1000], index='idx_multipart_uploads_list', table='s3_multipart_uploads')


# ---------------------------------------------------------------- folders by offset

def folder_entries(names, prefix):
    """The first list's order: that of `lower(name)`, folders among objects."""
    found = {}
    for name in names:
        if name.startswith(prefix):
            rest, slash, _ = name[len(prefix):].partition('/')
            found[(rest + slash).lower(), rest + slash] = (rest, bool(slash))
    return [found[key] for key in sorted(found, key=lambda k: (k[0].encode(), k[1].encode()))]


@case
def folders_by_name_go_by_the_index(stage):
    slow = []
    for actor in ACTORS:
        token = stage.become(actor)
        for bucket in NAMES:
            for prefix in prefixes(actor, bucket):
                want = folder_entries(stage.names(actor, bucket), prefix)
                for limit, down in itertools.product((100, 1000) if TIMED else (100,), (False, True)):
                    ask = {'prefix': prefix, 'limit': limit, 'offset': 0, 'sortBy': {'column': 'name', 'order': 'desc' if down else 'asc'}}
                    times, what = [], f'REST list, {actor}, {bucket}/{prefix.replace(ALICE, "ALICE")}, {limit}{" down" if down else ""}'
                    for _ in range(RUNS + 5):
                        found, plans = stage.explained(lambda: stage.rest(f'list/{bucket}', ask, token))   # noqa: B023
                        same([(e['name'], e['id'] is None) for e in found], (want[::-1] if down else want)[:limit], what)
                        for _, plan in plans:
                            by_index(plan, what, index=NAME_INDEX if token else f'{NAME_INDEX}_lower')
                        times.append(total(plans))
                    took = typical(times[-RUNS:])
                    if TIMED:
                        print(f'  {what:<66} {len(found):>5} entries, {took.busy:6.1f} ms (clock {took.clock:.1f}) in {len(plans)} statements', flush=True)
                    slow.append((took.busy, what))
    if TIMED:
        print('  slowest:', max(slow))


# ---------------------------------------------------------------- while others write

@contextlib.contextmanager
def churn(stage, bucket):
    """Rows between all others come and go, the caller's own too: names that end in `~`, in folders that stay and in some that do not."""
    begun, stop, errors, turns = threading.Event(), threading.Event(), [], [0]
    dice, every = random.Random(bucket), stage.names('service key', bucket)

    def work():
        try:
            connection, here = psycopg2.connect(stage.db.url()), []
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("set storage.allow_delete_query = 'true'")
                while not stop.is_set():
                    at = dice.randrange(len(every))
                    new = {name + dice.choice(('~', '~', '~/~')) for name in every[at:at + 60]}.difference(here)
                    cursor.execute("""insert into storage.objects (bucket_id, name, owner_id, version, metadata)
                        select %s, n, %s, gen_random_uuid()::text, '{"size": 1}' from unnest(%s) n""", (bucket, ALICE, list(new)))
                    here += new
                    dice.shuffle(here)
                    cursor.execute('delete from storage.objects where bucket_id = %s and name = any(%s)', (bucket, here[300:]))
                    del here[300:]
                    turns[0] += 1
                    begun.set()
                cursor.execute('delete from storage.objects where bucket_id = %s and name = any(%s)', (bucket, here))
            connection.close()
        except psycopg2.Error as error:
            errors.append(error)
        finally:
            begun.set()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        begun.wait(30)
        yield turns
    finally:
        stop.set()
        thread.join()
    true(not errors, f'the writer failed: {errors}')


def walk(page):
    tail, every = None, []
    while True:
        found, tail = page(tail)
        every += found
        if not tail:
            return every


def exactly_once(stage, protocol, call, size, buckets=tuple(NAMES)):
    came, went = 0, 0
    for actor, token, bucket, prefix, delimiter, want in lists(stage):
        if bucket not in buckets:
            continue
        what = f'{protocol} in pages of {size}, {actor}, {bucket}/{prefix.replace(ALICE, "ALICE")} by {delimiter or "nothing"}'
        want_set, begun = set(want), time.monotonic()
        with churn(stage, bucket) as turns:
            found = walk(lambda tail: call(bucket, token, prefix, delimiter, size, tail))   # noqa: B023
        names = [e[1].encode() for e in found]
        true(all(a < b for a, b in zip(names, names[1:])), f'{what}: not in order, or twice')
        stayed, known = [e for e in found if e in want_set], set(found)
        lost = [e for e in want if e not in known]
        true(stayed == want, f'{what}: lost {lost[:3]} and {max(len(lost) - 3, 0)} more')
        # What was hidden before may be a folder now, for a while.
        more = [e for e in found if e not in want_set and not e[1].rstrip('/').endswith('~') and e[0] == 'key']
        true(not more, f'{what}: {more[:3]} and {max(len(more) - 3, 0)} more')
        came, went = came + len(found) - len(want), went + turns[0]
        if TIMED:
            print(f'  {what}: {len(want)} entries, {len(found) - len(want)} more that came or went, {turns[0]} turns of the writer, {time.monotonic() - begun:.1f} s', flush=True)
    true(came > 100 and went > 20, f'too little was written meanwhile: {came} entries, {went} turns')
    print(f'  {came} entries that came or went were seen too, in {went} turns of the writer')


@case
def every_key_of_s3_comes_once_while_others_come_and_go(stage):
    exactly_once(stage, 'S3 v2', lambda bucket, token, prefix, delimiter, size, tail: stage.s3(
        bucket, token, prefix=prefix, delimiter=delimiter, max_keys=size, tail=tail or {}), 1000 if TIMED else 100)


@case
def every_key_of_rest_comes_once_while_others_come_and_go(stage):
    exactly_once(stage, 'REST v2', lambda bucket, token, prefix, delimiter, size, tail: stage.rest_v2(
        bucket, token, delimiter, prefix, size, tail=tail), 1000 if TIMED else 100, ('deep', 'wide'))


@case
def every_key_of_version_one_comes_once_while_others_come_and_go(stage):
    exactly_once(stage, 'S3 v1', lambda bucket, token, prefix, delimiter, size, tail: stage.s3(
        bucket, token, version=1, prefix=prefix, delimiter=delimiter, max_keys=size, tail=tail or {}), 1000 if TIMED else 300, ('wide',))


# ---------------------------------------------------------------- where policies hide nearly all

@case
def a_root_list_of_one_who_sees_next_to_nothing_answers(stage):
    stage.become('own folder')
    stage.db.run(f"insert into storage.objects (bucket_id, name, version) select 'deep', '{CAROL}/' || n, gen_random_uuid()::text from generate_series(1, 3) n")
    want = {'/': [('prefix', f'{CAROL}/')], '': [('key', f'{CAROL}/{n}') for n in (1, 2, 3)]}
    for delimiter in ('/', ''):
        for what, page in (('S3 v2', lambda: stage.s3('deep', stage.tokens[CAROL], delimiter=delimiter, max_keys=1000)[0]),   # noqa: B023
                           ('REST v2', lambda: stage.rest_v2('deep', stage.tokens[CAROL], delimiter)[0])):   # noqa: B023
            found, plans = stage.explained(page)
            same(found, want[delimiter], what)
            by_index(plans[0][1], what)
            print(f'  {what} by {delimiter or "nothing"}: {len(found)} of {ROWS} rows seen, {plans[0][0].busy:.0f} ms (clock {plans[0][0].clock:.0f})')
    stage.db.run(f"set storage.allow_delete_query = 'true'; delete from storage.objects where bucket_id = 'deep' and name like '{CAROL}/%'")


if __name__ == '__main__':
    settings = {'shared_preload_libraries': 'auto_explain', 'auto_explain.log_analyze': 'on', 'auto_explain.log_timing': 'off', 'auto_explain.log_format': 'json',
                'shared_buffers': '128MB', 'max_wal_size': '4GB', 'log_checkpoints': 'off'}
    try:
        with Postgres(**settings) as db:
            stack(db)
            folder = temp_dir()
            with Server(env=stack_environment(db, folder), folder=folder) as server:
                stage = Stage(db, server, folder)
                stage.fill()
                # The server's connections from now on; those that it has go.
                db.run('alter role supabase_storage_admin set auto_explain.log_min_duration = 0')
                db.run('alter role supabase_storage_admin set log_executor_stats = on')
                db.run("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'supabase_storage_admin'")
                counts = run_cases(stage)
    except Failure as failure:
        print(f'FAILED server: {failure}')
        counts = (0, 1)
    finish(*counts)
