"""Slow clients: slow_clients.py [CLIENTS [SECONDS]] (500, 8). Half upload, half download, one byte a second each.

None holds a database connection, memory stays bounded, everybody else is served meanwhile, what is completed is whole, what is cut
leaves nothing. With 5,000 clients or more the times of a fast client are judged too: the server must have both cores for itself then.
"""
import http.client
import json
import os
import pathlib
import resource
import subprocess
import sys
import time
import urllib.parse

import slow_load
from common import Failure, Server, case, client, finish, pattern, run_cases, same, true, wait_for
from signing import sign

CLIENTS = int(sys.argv[1]) if len(sys.argv) > 1 else 500
SECONDS = int(sys.argv[2]) if len(sys.argv) > 2 else 8
LONG = CLIENTS >= 5000
BUCKET = 'slow'
LARGE = pattern(4 << 20, 'large')
MIDDLE = pattern(200_000, 'middle')
# How much of the body comes at once before the client slows down: kept in memory it would be too much.
BURST = 150_000
# How many clients come in a second.
A_SECOND = 250


def service(server):
    return server.keys.get('SERVICE_ROLE_KEY') or server.keys['SERVICE_KEY']


def body_of(number, size):
    return (f'{number:06}' * (size // 6 + 1)).encode()[:size]


def request(server, method, path, *lines):
    return '\r\n'.join([f'{method} {path} HTTP/1.1', f'host: localhost:{server.port}', *lines, '', '']).encode()


def signed(server, method, key):
    url = f'{server.endpoint}/{BUCKET}/{key}'
    headers = sign(server.access_key, server.secret_key, 'stub', method, url)
    return urllib.parse.urlsplit(url).path, [f'{k}: {v}' for k, v in headers.items() if k != 'host']


# ---------------------------------------------------------------- the crowd
# Kinds by number: even ones download, odd ones upload.

def rest_body(server, number, size, burst=0):
    body = body_of(number, size)
    head = request(server, 'POST', f'/storage/v1/object/{BUCKET}/{number}', f'authorization: Bearer {service(server)}', 'content-type: text/plain', f'content-length: {size}')
    return slow_load.Client(number, server.port, head, body, burst)


def rest_form(server, number, size, burst=0):
    body = b'--B\r\ncontent-disposition: form-data; name=""; filename="f"\r\ncontent-type: text/plain\r\n\r\n' + body_of(number, size)
    end = b'\r\n--B--\r\n'
    head = request(server, 'POST', f'/storage/v1/object/{BUCKET}/{number}', f'authorization: Bearer {service(server)}',
                   'content-type: multipart/form-data; boundary=B', f'content-length: {len(body) + len(end)}')
    # The last bytes at once, or the end of a form alone would take half a minute.
    return slow_load.Client(number, server.port, head, body + end, len(body) - size + burst, tail=len(end))


def s3_body(server, number, size, burst=0):
    path, headers = signed(server, 'PUT', str(number))
    return slow_load.Client(number, server.port, request(server, 'PUT', path, *headers, f'content-length: {size}'), body_of(number, size), burst)


def rest_public(server, number, key, wanted):
    return slow_load.Client(number, server.port, request(server, 'GET', f'/storage/v1/object/public/{BUCKET}/{key}'), wanted=wanted)


def s3_read(server, number, key, wanted):
    path, headers = signed(server, 'GET', key)
    return slow_load.Client(number, server.port, request(server, 'GET', path, *headers), wanted=wanted)


UPLOADS = (rest_body, rest_form, s3_body)


def is_cut(number):
    """Whether the upload of this number is to be cut: its body is far longer than the time."""
    return number % 10 == 9


def burst_of(number):
    return BURST if number % 50 == 7 else 0


def size_of(number):
    """Bytes of an upload that ends once all clients are there and have been looked at."""
    return burst_of(number) + CLIENTS // A_SECOND + SECONDS


def make(server):
    """Who the client of a number is."""
    def of(number):
        if number % 2:
            kind = UPLOADS[number // 2 % len(UPLOADS)]
            if is_cut(number):
                return kind(server, number, 5_000_000, BURST if number % 20 == 9 else 0)
            # Some have sent most of a larger body at once, then slow down.
            return kind(server, number, size_of(number), burst_of(number))
        read = (rest_public, s3_read)[number // 2 % 2]
        # One in ten takes what would fit into one buffer.
        return read(server, number, *(('middle', MIDDLE) if number % 20 == 0 else ('large', LARGE)))
    return of


# ---------------------------------------------------------------- what is looked at

def database(server):
    """(connections at work or in a transaction, all connections) of the server."""
    at_work, every = server.sql("select count(*) filter (where state <> 'idle'), count(*) from pg_stat_activity"
                                " where backend_type = 'client backend' and usename = 'supabase_storage_admin'").split('|')
    return int(at_work), int(every)


def files(server):
    """Every file of the store, also those being written, but for the object that the fast client replaces."""
    # os.walk bears that a folder goes meanwhile.
    found = (os.path.join(at, name) for at, _, names in os.walk(server.blob_root()) for name in names)
    return sorted(path for path in found if os.path.basename(os.path.dirname(path)) != 'fast')


def held_for_clients(server):
    """(connections of clients, blobs) that the server has open."""
    files = 0
    for name in os.listdir(f'/proc/{server.pid}/fd'):
        try:
            at = pathlib.Path(os.readlink(f'/proc/{server.pid}/fd/{name}').removesuffix(' (deleted)'))
        except FileNotFoundError:
            continue   # closed meanwhile
        files += server.blob_root() in at.parents and not at.is_dir()
    lines = pathlib.Path('/proc/net/tcp').read_text().splitlines()[1:]
    # Established, or ended by the client alone.
    return sum(l.split()[1].endswith(f':{server.port:04X}') and l.split()[3] in ('01', '08') for l in lines), files


def rows(server):
    return server.sql('select (select count(*) from storage.objects), (select count(*) from rowlock.rowlock_pending)')


def fast(server, seconds):
    """Starts a process that reads and writes as fast as it is answered, one request after the other; its output is a JSON object."""
    return subprocess.Popen([sys.executable, pathlib.Path(__file__).with_name('fast_client.py'), str(server.port), service(server), BUCKET, str(seconds)], stdout=subprocess.PIPE, text=True)


def said(process, what):
    out, _ = process.communicate(timeout=300)
    same(process.returncode, 0, f'{what}: the fast client failed: {out}')
    found = json.loads(out)
    print(f'  {what}: ' + ', '.join(f'{m} {t["n"]} times, p50 {t["p50"]:.1f} ms, p99 {t["p99"]:.1f} ms, max {t["max"]:.0f} ms' for m, t in found.items()))
    return found


def sockets_memory():
    """What the kernel holds for all TCP sockets of the machine, in MB."""
    line = next(l for l in pathlib.Path('/proc/net/sockstat').read_text().splitlines() if l.startswith('TCP:'))
    return int(line.split('mem ')[1].split()[0]) * 4 / 1024


# ---------------------------------------------------------------- cases

@case
def the_limit_of_open_files_is_raised(server):
    soft, hard = next(l for l in pathlib.Path(f'/proc/{server.pid}/limits').read_text().splitlines() if l.startswith('Max open files')).split()[3:5]
    print(f'  started with 1024 open files allowed; has {soft} of {hard}')
    same(soft, hard, 'limit of open files')


@case
def slow_clients(server):
    s3 = client(server)
    server.sql(f"insert into storage.buckets (id, name, public) values ('{BUCKET}', '{BUCKET}', true)")
    for key, data in (('large', LARGE), ('middle', MIDDLE), ('fast', b'x' * 10_000)):
        s3.put_object(Bucket=BUCKET, Key=key, Body=data)
    s3.close()
    said(fast(server, 3 if LONG else 1), 'alone')
    wait_for('replaced blobs to go', lambda: server.sql('select count(*) from rowlock.rowlock_outbox') == '0', 60)
    before, rows_before, resting = files(server), rows(server), server.memory()
    times = [wave(server, before, rows_before)]
    first = server.memory()
    print(f'  memory before {resting[1]:.0f} MB, at its peak {first[0]:.0f} MB, after it {first[1]:.0f} MB')
    if LONG:
        wait_for('most of the memory to be given back', lambda: server.memory()[1] < first[0] / 2, 60)
        print(f'  memory a while later {server.memory()[1]:.0f} MB')
    times.append(wave(server, before, rows_before))
    second = server.memory()
    print(f'  memory at the peak of a second crowd {second[0]:.0f} MB, after it {second[1]:.0f} MB')
    true(first[0] < (400 if LONG else 200), f'a peak of {first[0]:.0f} MB')
    true(second[0] < first[0] * 1.2 + 10, f'the second crowd cost {second[0]:.0f} MB, the first {first[0]:.0f} MB')
    if LONG:
        true(min(found['all']['p99'] for found in times) < 50, f'the fast client waited: {times}')


def wave(server, before, rows_before):
    """One crowd from its coming to its going; returns the fast client's times."""
    crowd = slow_load.Crowd()
    begun = time.monotonic()
    crowd.join(make(server), range(CLIENTS), a_second=A_SECOND)
    crowd.run(2)
    print(f'  {CLIENTS} clients after {time.monotonic() - begun:.0f} s: {crowd.count()}')
    meanwhile = fast(server, SECONDS)
    samples = []
    for _ in range(max(8, SECONDS // 5)):
        crowd.run(min(5, SECONDS / 8))
        samples.append(database(server))
    print(f'  database connections (at work, all): {samples}; sockets of the whole machine: {sockets_memory():.0f} MB; connections and blobs open {held_for_clients(server)}; {crowd.count()}')
    times = said(meanwhile, 'meanwhile')
    # The fast client may just be at it; slow ones would be always.
    true(min(busy for busy, _ in samples) <= 1, f'{samples} database connections at work')
    uploads = [c for c in crowd if c.number % 2 and not is_cut(c.number)]
    crowd.run_until(lambda: all(c.state in ('done', 'broken') for c in uploads), 2 * CLIENTS // A_SECOND + 120)
    counts = crowd.count()
    print(f'  at the end {counts}; memory at its peak {server.memory()[0]:.0f} MB, now {server.memory()[1]:.0f} MB; the load was {crowd.behind * 1000:.0f} ms behind at worst')
    same(crowd.faults(), [], 'faults')
    same([c.number for c in uploads if c.state != 'done'], [], 'uploads that did not end')
    readers = [c for c in crowd if c.number % 2 == 0]
    true(all(c.taken > 0 for c in readers), 'some reader got nothing')
    # Some take the rest now, as fast as they can; the others leave.
    for reader in readers[:40]:
        reader.drain()
        same((reader.state, reader.taken), ('done', len(reader.wanted)), f'reader {reader.number}: {reader.why}')
    for one in crowd:
        one.cut()
    all_is_as_it_should_be(server, uploads, before, rows_before)
    return times


def all_is_as_it_should_be(server, uploads, before, rows_before):
    """Completed uploads are whole, and once they are deleted nothing is left that was not there before."""
    connection = http.client.HTTPConnection('127.0.0.1', server.port, timeout=60)
    for upload in uploads:
        connection.request('GET', f'/storage/v1/object/public/{BUCKET}/{upload.number}')
        answer = connection.getresponse()
        true(answer.read() == body_of(upload.number, size_of(upload.number)) and answer.status == 200, f'{upload.number} is not what was sent')
    names = [str(upload.number) for upload in uploads]
    for first in range(0, len(names), 1000):
        connection.request('DELETE', f'/storage/v1/object/{BUCKET}', json.dumps({'prefixes': names[first:first + 1000]}),
                           {'authorization': 'Bearer ' + service(server), 'content-type': 'application/json'})
        same(len(json.loads(connection.getresponse().read())), len(names[first:first + 1000]), 'deleted')
    connection.close()
    wait_for('all connections and files to be closed', lambda: held_for_clients(server) == (0, 0), 60)
    wait_for('the rows to be those of before', lambda: rows(server) == rows_before, 60)
    wait_for('the deleted blobs and what was cut to go', lambda: files(server) == before, 120)


if __name__ == '__main__':
    slow_load.raise_file_limit()
    try:
        server = Server(env={'ROWLOCK_BLOB_GRACE': '1', 'LOG_LEVEL': 'error'})
        # As a shell or a service manager starts it.
        server.before = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (1024, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        with server:
            counts = run_cases(server)
    except Failure as failure:
        print(f'FAILED server: {failure}')
        counts = (0, 1)
    finish(*counts)
