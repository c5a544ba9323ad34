"""A service that fails while a client's bytes pass through the server, and clients that are slow: what real clients of the server see, over a socket.

The server reaches its S3 service through a proxy that can cut a request or an answer in its middle.
"""
import asyncio
import hashlib
import http.client
import json
import socket
import threading
import time

from common import Failure, Server, case, client, finish, pattern, run_cases, same, true, wait_for
from gone_clients import in_a_form, rest
from s3 import body, refused
from slow_clients import request, service, signed
from store import store

BUCKET = 'faults'
MIB = 1 << 20
PART = 5 * MIB
BUSY = b'HTTP/1.1 503 Slow Down\r\ncontent-length: 0\r\nconnection: close\r\n\r\n'


class Proxy:
    """Passes bytes on to the service. `after(n)`: the next connection on which `n` bytes more have gone up is answered 503 and closed, some of them unread;
    `cut(n)`: the next on which `n` bytes have come down is closed; `hang()`: nothing goes on any way until `go_on()`.
    `answer(bytes)`: every request gets this for an answer, and the service hears of none; `swallow()`: none gets any; `stall(n, times)`: of the next `times`
    requests with a body (None: of all) no byte more is taken once `n` have gone up. Each until the next one, or `well()`."""

    def __init__(self, port):
        self.to, self.up, self.down, self.hit = port, [], [], 0
        self.fault = self.stalls = None
        self.loop, self.moving, ready = asyncio.new_event_loop(), asyncio.Event(), threading.Event()
        self.moving.set()

        def run():
            asyncio.set_event_loop(self.loop)
            server = self.loop.run_until_complete(asyncio.start_server(self.serve, '127.0.0.1', 0))
            self.port = server.sockets[0].getsockname()[1]
            ready.set()
            self.loop.run_forever()
        threading.Thread(target=run, daemon=True).start()
        ready.wait()

    def after(self, *sizes):
        self.up, self.hit = list(sizes), 0

    def cut(self, *sizes):
        self.down, self.hit = list(sizes), 0

    def well(self):
        self.fault, self.stalls = None, None

    def answer(self, whole):
        self.well()
        self.fault = whole

    def swallow(self):
        self.answer(b'')

    def stall(self, size, times=None):
        self.well()
        self.hit, self.stalls = 0, [size, times]

    def hang(self):
        self.loop.call_soon_threadsafe(self.moving.clear)

    def go_on(self):
        self.loop.call_soon_threadsafe(self.moving.set)

    async def serve(self, reader, writer):
        there_reader, there_writer = await asyncio.open_connection('127.0.0.1', self.to)
        ways = [asyncio.ensure_future(way) for way in (self.pump(reader, there_writer, 'up', writer), self.pump(there_reader, writer, 'down', writer))]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        for end in (writer, there_writer):
            end.close()

    async def pump(self, source, to, way, client):
        passed = gone = 0
        try:
            while piece := await source.read(65536):
                await self.moving.wait()
                if way == 'up' and self.fault is not None:
                    await self.refuse(source, client)
                    return
                if way == 'up' and self.stalls and piece.startswith((b'PUT ', b'POST ')):
                    gone = 0    # a request begins where nothing is under way
                if way == 'up' and self.stalls:
                    gone += len(piece)
                    if gone > self.stalls[0]:
                        if self.stalls[1] is not None:
                            self.stalls[1] -= 1
                            self.stalls = self.stalls if self.stalls[1] else None
                        self.hit += 1
                        await asyncio.sleep(60)
                        return
                faults = getattr(self, way)
                # Bytes count from the fault's order on; one connection is hit by one of them.
                passed = passed + len(piece) if faults else 0
                if faults and passed > faults[0]:
                    faults.pop(0)
                    self.hit += 1
                    if way == 'up':
                        client.write(BUSY)
                        await client.drain()
                        # The answer is read before the reset that unread bytes bring.
                        await asyncio.sleep(0.3)
                    return
                to.write(piece)
                await to.drain()
        except (ConnectionError, OSError):
            return

    async def refuse(self, source, client):
        """The answer, and then whatever still comes: a client that is still sending would see a reset instead."""
        if self.fault:
            client.write(self.fault)
            await client.drain()
        while await source.read(65536):
            pass


class Stage:
    def __init__(self, there, proxy, server):
        self.there, self.proxy, self.server = there, proxy, server
        self.log_path, self.show_log = server.log_path, server.show_log


@case
def bytes_that_passed_through_are_sent_again_by_the_sdk(stage):
    patient, data = client(stage.server, retries={'max_attempts': 4, 'mode': 'standard'}), pattern(4 * MIB, 'passes')
    s3 = client(stage.server)
    s3.put_object(Bucket=BUCKET, Key='kept', Body=b'before')
    stage.proxy.after(3 * MIB)
    code, status, _ = refused(lambda: s3.put_object(Bucket=BUCKET, Key='kept', Body=data))
    same((status, stage.proxy.hit), (503, 1), f'without retries: {code}')
    same(body(s3.get_object(Bucket=BUCKET, Key='kept')), b'before', 'what was there')
    stage.proxy.after(3 * MIB, 3 * MIB)
    answer = patient.put_object(Bucket=BUCKET, Key='kept', Body=data)
    same((answer['ResponseMetadata']['RetryAttempts'], stage.proxy.hit), (2, 2), 'attempts')
    same(answer['ETag'], '"' + hashlib.md5(data).hexdigest() + '"', 'ETag')
    true(body(s3.get_object(Bucket=BUCKET, Key='kept')) == data, 'bytes differ')


@case
def so_are_those_of_an_upload_in_parts(stage):
    patient, data = client(stage.server, retries={'max_attempts': 4, 'mode': 'standard'}), pattern(3 * PART + 17, 'parts')
    # The server makes parts of one PUT, and of a client's part one part.
    stage.proxy.after(3 * MIB)
    patient.put_object(Bucket=BUCKET, Key='parts/one', Body=data)
    same(stage.proxy.hit, 1, 'faults on the way of a PUT')
    upload = {'Bucket': BUCKET, 'Key': 'parts/many', 'UploadId': patient.create_multipart_upload(Bucket=BUCKET, Key='parts/many')['UploadId']}
    halves = (data[:2 * PART], data[2 * PART:])
    parts = []
    for number, half in enumerate(halves, 1):
        stage.proxy.after(3 * MIB)
        parts.append({'PartNumber': number, 'ETag': patient.upload_part(**upload, PartNumber=number, Body=half)['ETag']})
        same(stage.proxy.hit, 1, f'faults on the way of part {number}')
    patient.complete_multipart_upload(**upload, MultipartUpload={'Parts': parts})
    for key in ('parts/one', 'parts/many'):
        true(body(patient.get_object(Bucket=BUCKET, Key=key)) == data, f'{key}: bytes differ')


@case
def a_rest_client_is_told_to_come_again(stage):
    data = pattern(4 * MIB, 'rest')
    headers = {'authorization': f'Bearer {service(stage.server)}', 'x-upsert': 'true', 'content-type': 'text/plain'}

    def post():
        connection = http.client.HTTPConnection('127.0.0.1', stage.server.port, timeout=60)
        connection.request('POST', f'/storage/v1/object/{BUCKET}/rest', body=data, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.headers['retry-after'], json.loads(answer.read())
    stage.proxy.after(3 * MIB)
    status, again, told = post()
    same((status, again, told['statusCode'], stage.proxy.hit), (503, '1', '503', 1), str(told))
    same(post()[0], 200, 'the second time')
    true(body(client(stage.server).get_object(Bucket=BUCKET, Key='rest')) == data, 'bytes differ')


@case
def bodies_without_a_length_are_taken_with_the_least_memory(stage):
    # They cannot pass through: what was said to be too little for one part was raised to that.
    data = pattern(2 * PART + 5, 'no length')
    connection = http.client.HTTPConnection('127.0.0.1', stage.server.port, timeout=60)
    headers = {'authorization': f'Bearer {service(stage.server)}', 'x-upsert': 'true', 'content-type': 'text/plain', 'transfer-encoding': 'chunked'}
    connection.request('POST', f'/storage/v1/object/{BUCKET}/rest', body=iter([data[:3], data[3:]]), headers=headers, encode_chunked=True)
    answer = connection.getresponse()
    same(answer.status, 200, str(answer.read()))
    true(body(client(stage.server).get_object(Bucket=BUCKET, Key='rest')) == data, 'bytes differ')
    told = [line for line in stage.log_path.read_text().splitlines() if 'ROWLOCK_S3_BUFFER' in line]
    same((len(told), 'WARN' in told[0], 'STORAGE_S3_UPLOAD_PART_SIZE' in told[0]), (1, True, True), str(told))


@case
def downloads_go_on_where_the_service_broke_off(stage):
    s3, data = client(stage.server), pattern(3 * PART + 17, 'parts')
    stage.proxy.cut(MIB, 2 * MIB, 100_000)
    true(body(s3.get_object(Bucket=BUCKET, Key='parts/one')) == data, 'bytes differ')
    same(stage.proxy.hit, 3, 'cuts')
    stage.proxy.cut(100_000)
    true(body(s3.get_object(Bucket=BUCKET, Key='parts/one', Range='bytes=1000000-3999999')) == data[1_000_000:4_000_000], 'bytes of the range differ')
    same(stage.proxy.hit, 1, 'cuts')


@case
def slow_uploads_take_no_memory_from_fast_ones(stage):
    # Whole pieces of these would need ten times the memory there is. None of them has a length beforehand, or is a part.
    with Server(env=stage.there.environment(ROWLOCK_S3_BUFFER=str(4 * PART), STORAGE_S3_UPLOAD_PART_SIZE=str(PART), ROWLOCK_BLOB_GRACE='1',
                                            STORAGE_TENANT_ID='slow')) as server:
        s3, data, slow = client(server), pattern(3 * MIB, 'fast'), []
        s3.create_bucket(Bucket='slow')
        try:
            for n in range(45):
                raw = socket.create_connection(('127.0.0.1', server.port))
                slow.append(raw)
                path, headers = signed(server, 'PUT', f'slow-{n}')
                raw.sendall((in_a_form(server, 200_000), rest(server, 'POST', f'slow/chunked-{n}', 'transfer-encoding: chunked') + b'30d40\r\n' + b'x' * 200_000,
                             request(server, 'PUT', path, *headers, 'content-length: 5000000') + b'x' * 200_000)[n % 3])
            time.sleep(1)
            begun = time.monotonic()
            s3.put_object(Bucket='slow', Key='fast', Body=data)
            with socket.create_connection(('127.0.0.1', server.port)) as raw:
                raw.sendall(rest(server, 'POST', 'slow/form', 'transfer-encoding: chunked') + f'{len(data):x}\r\n'.encode() + data + b'\r\n0\r\n\r\n')
                true(raw.recv(65536).startswith(b'HTTP/1.1 200'), 'a fast upload without a length')
            # Not its speed, but that it did not stand in a line that moves once a minute.
            true(time.monotonic() - begun < 40, 'the fast ones waited for the slow ones')
            for key in ('fast', 'form'):
                true(body(s3.get_object(Bucket='slow', Key=key)) == data, f'{key}: bytes differ')
        finally:
            for raw in slow:
                raw.close()


@case
def memory_is_bounded_while_the_service_hangs(stage):
    with Server(env=stage.there.environment(GLOBAL_S3_ENDPOINT=f'http://127.0.0.1:{stage.proxy.port}', ROWLOCK_BLOB_GRACE='1', STORAGE_TENANT_ID='hangs')) as server:
        s3, data = client(server), pattern(12 * MIB, 'hangs')
        s3.create_bucket(Bucket='hangs')
        before, results = server.memory()[1], []

        def put(n):
            try:
                client(server).put_object(Bucket='hangs', Key=str(n), Body=data)
                results.append('stored')
            except Exception as error:  # whatever a client says of a server that is late
                results.append(error)
        stage.proxy.hang()
        threads = [threading.Thread(target=put, args=(n,)) for n in range(24)]
        for thread in threads:
            thread.start()
        time.sleep(6)
        held = server.memory()[0] - before
        stage.proxy.go_on()
        for thread in threads:
            thread.join(120)
        # 288 MB are on their way; 64 MiB may be held, and each connection has its buffers.
        true(held < 150, f'{held:.0f} MB more than before')
        same([it for it in results if it != 'stored'], [], 'uploads that failed')
        for n in range(24):
            true(body(s3.get_object(Bucket='hangs', Key=str(n))) == data, f'{n}: bytes differ')


@case
def in_the_end_nothing_is_left_of_what_failed(stage):
    """A minute after the last failure: a request that was given up may still have been under way."""
    keys = ['kept', 'parts/many', 'parts/one', 'rest']
    same(sorted(key['Key'] for key in client(stage.server).list_objects_v2(Bucket=BUCKET)['Contents']), keys, 'objects')
    wait_for('the ledger to be empty', lambda: stage.server.sql('select count(*) from rowlock.rowlock_pending') == '0', 90)

    def lie():
        return sorted(key.split('/', 2)[2].rsplit('/', 1)[0] for key in stage.there.keys() if key.split('/')[1] == BUCKET)
    wait_for(f'one blob for each object, not {lie()}', lambda: lie() == keys, 30)
    same(stage.there.uploads(), [], 'unfinished uploads')


def run():
    with store() as there:
        proxy = Proxy(there.port)
        # Nothing is held: all bytes pass through.
        environment = there.environment(GLOBAL_S3_ENDPOINT=f'http://127.0.0.1:{proxy.port}', ROWLOCK_S3_BUFFER='1', STORAGE_S3_UPLOAD_PART_SIZE=str(PART), ROWLOCK_BLOB_GRACE='1')
        with Server(env=environment) as server:
            client(server).create_bucket(Bucket=BUCKET)
            return run_cases(Stage(there, proxy, server))


if __name__ == '__main__':
    try:
        counts = run()
    except Failure as failure:
        print(f'FAILED s3_faults: {failure}')
        counts = (0, 1)
    finish(*counts)
