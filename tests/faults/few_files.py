"""A server that may open 1,024 files and not one more: 400 slow downloads, 400 slow uploads, and clients in a hurry among them. On files and on an S3 service.

Nobody is answered with an internal error: with what was asked for, or with 503 in the protocol's words. What is small is always answered with what was asked for.
"""
import collections
import concurrent.futures
import ctypes
import http.client
import os
import pathlib
import resource
import socket
import time

import slow_load
from common import Failure, Raw, Server, case, client, finish, pattern, run_cases, same, true, wait_for
from slow_clients import database, request, rest_public, s3_read, service, signed
from store import store

LIMIT = 1024
BUCKET = 'slow'
SLOW = 800
AT_ONCE = 250
LARGE = pattern(4 << 20, 'large')
SMALL = pattern(10_000, 'small')
# So much of an upload comes at once: too much for it to be kept in memory.
BURST = 300_000
BODY = pattern(BURST + 5_000_000, 'body')
# The second where it is the service behind that has too much to do.
BUSY = (b'SlowDown', b'ServiceUnavailable')
CAP_SYS_RESOURCE, PR_CAPBSET_DROP = 24, 24


def few_files():
    """What a shell does with `ulimit -n 1024`, for a server without the right to raise it: in the child, before it becomes the server."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, LIMIT))
    # Refused where the user is not root, who has no such right anyway.
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_SYS_RESOURCE, 0, 0, 0)


def open_files(server):
    return len(os.listdir(f'/proc/{server.pid}/fd'))


# ---------------------------------------------------------------- the crowd

class Patient(slow_load.Client):
    """A slow client that bears being told to come back later."""
    told = False

    def when_sending(self):
        # Whoever is refused is told before the body has ended.
        try:
            if self.socket.recv(1, socket.MSG_PEEK):
                self.state = slow_load.ANSWER
                return self.when_answer()
        except BlockingIOError:
            pass
        super().when_sending()

    def when_answer(self):
        # The head of an answer is of no interest byte by byte here, so that a refusal is seen within seconds.
        while b'\r\n\r\n' not in self.answer:
            piece = self.socket.recv(1)
            if not piece:
                return self.fail(f'no answer, but {self.answer[-200:]!r}')
            self.answer += piece
        if b' 503 ' not in self.answer[:20]:
            return super().when_answer()
        while piece := self.socket.recv(4096):
            self.answer += piece
            if self.answer.rstrip().endswith((b'</Error>', b'}')):
                break
        if not any(word in self.answer for word in BUSY):
            return self.fail(f'not the protocol\'s own word: {self.answer[-300:]!r}')
        self.told, self.state = True, slow_load.DONE
        self.socket.close()


def member(server):
    def of(number):
        if number % 2:
            if number % 4 == 1:
                path, headers = signed(server, 'PUT', f'slow/{number}')
                head = request(server, 'PUT', path, *headers, f'content-length: {len(BODY)}')
            else:
                head = request(server, 'POST', f'/storage/v1/object/{BUCKET}/slow/{number}', f'authorization: Bearer {service(server)}', f'content-length: {len(BODY)}')
            it = slow_load.Client(number, server.port, head, BODY, BURST)
        else:
            it = (rest_public, s3_read)[number // 2 % 2](server, number, 'large', LARGE)
        it.__class__ = Patient
        return it
    return of


# ---------------------------------------------------------------- those in a hurry

class Hurry:
    """Asks for this and that as fast as it is answered; every answer is judged."""

    def __init__(self, server):
        self.server, self.answers, self.number = server, collections.Counter(), 0
        self.raw = Raw(server, timeout=60)
        self.rest = http.client.HTTPConnection('127.0.0.1', server.port, timeout=60)

    def judge(self, what, status, body, wanted=None, may_wait=False):
        text = body[:300]
        if status == 503:
            true(any(word in body for word in BUSY), f'{what}: 503 in other words: {text!r}')
            true(may_wait, f'{what}: told to come back later')
        else:
            true(status in (200, 204, 206), f'{what}: {status}: {text!r}')
            true(wanted is None or body == wanted, f'{what}: not what was stored')
        self.answers[what, status] += 1

    def s3(self, what, method, key='', query='', data=b'', **judged):
        status, _, body = self.raw(method, f'/{BUCKET}' + (f'/{key}' if key else ''), query, data)
        self.judge(f'S3 {what}', status, body, **judged)

    def over_rest(self, what, method, path, data=None, headers=(), **judged):
        headers = {'authorization': 'Bearer ' + service(self.server), 'x-upsert': 'true', **dict(headers)}
        self.rest.request(method, f'/storage/v1/object/{path}', body=data, headers=headers)
        answer = self.rest.getresponse()
        self.judge(f'REST {what}', answer.status, answer.read(), **judged)

    def small(self):
        self.number += 1
        key = f'small/{self.number}'
        self.s3('PUT', 'PUT', key, data=SMALL)
        self.s3('GET', 'GET', key, wanted=SMALL)
        self.s3('list', 'GET', query='list-type=2&max-keys=5')
        self.over_rest('POST', 'POST', f'{BUCKET}/{key}', SMALL)
        self.over_rest('GET', 'GET', f'public/{BUCKET}/{key}', wanted=SMALL)
        self.over_rest('range of a large one', 'GET', f'public/{BUCKET}/large', headers={'range': 'bytes=1000-1999'}, wanted=LARGE[1000:2000])
        self.s3('DELETE', 'DELETE', key)

    def large_by_s3(self):
        self.s3('large GET', 'GET', 'large', wanted=LARGE, may_wait=True)

    def large_by_rest(self):
        self.over_rest('large POST', 'POST', f'{BUCKET}/large/post', LARGE, may_wait=True)
        # A refusal of an upload ends its connection.
        self.rest.close()


def meanwhile(crowd, *calls):
    """Makes all calls at a time while the crowd goes on."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        running = [pool.submit(call) for call in calls]
        while not all(one.done() for one in running):
            crowd.tick()
        [one.result() for one in running]


def at_once(server, requests):
    """Sends every request on a connection of its own before an answer is read; returns how often each status came."""
    raws = []
    for data in requests:
        raw = socket.create_connection(('127.0.0.1', server.port), timeout=60)
        raw.sendall(data)
        raws.append(raw)
    statuses = collections.Counter()
    for raw in raws:
        answer = http.client.HTTPResponse(raw)
        answer.begin()
        body = answer.read()
        true(answer.status != 503 or any(word in body for word in BUSY), f'503 in other words: {body[:300]!r}')
        statuses[answer.status] += 1
        raw.close()
    return statuses


def small_puts(server):
    for number in range(AT_ONCE):
        path, headers = signed(server, 'PUT', f'at-once/{number}')
        yield request(server, 'PUT', path, *headers, f'content-length: {len(SMALL)}') + SMALL


def small_gets(server):
    for number in range(AT_ONCE):
        yield request(server, 'GET', f'/storage/v1/object/public/{BUCKET}/at-once/{number}')


# ---------------------------------------------------------------- cases

@case
def the_limit_stays(server):
    soft, hard = next(l for l in pathlib.Path(f'/proc/{server.pid}/limits').read_text().splitlines() if l.startswith('Max open files')).split()[3:5]
    same((soft, hard), (str(LIMIT), str(LIMIT)), 'limit of open files')


def served_and_refused(server, crowd, resting):
    crowd.join(member(server), range(SLOW), a_second=800)
    crowd.run(1)
    print(f'  {SLOW} slow clients: {crowd.count()}, {sum(c.told for c in crowd)} told to come back; {open_files(server)} files open ({resting} before)')
    # Those who cannot be served have to be told so before others get their connections.
    hurry, most = Hurry(server), open_files(server)
    meanwhile(crowd, hurry.small)
    crowd.run_until(lambda: sum(c.told for c in crowd) > SLOW / 2, 6)
    end = time.monotonic() + 1
    while time.monotonic() < end:
        hurry.small()
        crowd.tick()
        most = max(most, open_files(server))
    meanwhile(crowd, hurry.large_by_s3, hurry.large_by_rest)
    print('  ' + ', '.join(f'{what} {status}: {n}' for (what, status), n in sorted(hurry.answers.items())))
    for what in (small_puts, small_gets):
        statuses = at_once(server, what(server))
        most = max(most, open_files(server))
        print(f'  {AT_ONCE} {what.__name__} at once: {dict(statuses)}')
        same(set(statuses), {200}, f'statuses of {what.__name__}')
    crowd.run(1)
    held = [c for c in crowd if c.state in (slow_load.SENDING, slow_load.TAKING)]
    print(f'  {most} files open at the most, {open_files(server)} now; {len(held)} slow clients served, {sum(c.told for c in crowd)} told to come back; {database(server)} database connections')
    same(crowd.faults(), [], 'faults')
    true(len(held) >= 100, f'only {len(held)} slow clients are served')
    true(all(any(c.number % 2 == kind for c in held) for kind in (0, 1)), 'only one kind of slow clients is served')
    for reader in [c for c in held if c.state == slow_load.TAKING][:10]:
        reader.drain()
        same((reader.state, reader.taken), ('done', len(LARGE)), f'reader {reader.number}: {reader.why}')


@case
def what_is_small_is_answered_and_the_rest_told_to_wait(server):
    s3 = client(server)
    server.sql(f"insert into storage.buckets (id, name, public) values ('{BUCKET}', '{BUCKET}', true)")
    s3.put_object(Bucket=BUCKET, Key='large', Body=LARGE)
    s3.close()
    resting = open_files(server)
    crowd = slow_load.Crowd()
    try:
        served_and_refused(server, crowd, resting)
    finally:
        for one in crowd:
            one.cut()
    wait_for('the files of those that left to be closed', lambda: open_files(server) < resting + 100, 30)


@case
def all_works_again(server):
    after = Hurry(server)
    after.small()
    for _ in range(3):
        after.large_by_s3()
        after.large_by_rest()
    true(all(status < 300 for _, status in after.answers), f'{after.answers}')
    log = server.log_path.read_text(errors='replace')
    true('oo many open files' not in log and 'panicked' not in log, 'the log speaks of open files: ' + log[-600:])


def play(label, env):
    server = Server(env={'ROWLOCK_BLOB_GRACE': '1', 'LOG_LEVEL': 'warn', **env})
    server.before = few_files
    with server:
        return run_cases(server, label=label)


if __name__ == '__main__':
    slow_load.raise_file_limit()
    counts = [0, 0]
    try:
        counts[:] = play('files: ', {})
        with store() as service_behind:
            counts[:] = (a + b for a, b in zip(counts, play('S3: ', service_behind.environment(STORAGE_S3_CLIENT_TIMEOUT='4000'))))
    except Failure as failure:
        print(f'FAILED server: {failure}')
        counts[1] += 1
    finish(*counts)
