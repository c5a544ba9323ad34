"""Events as their receiver gets them: each change of an object once, by every protocol and with what the reference says of it; none of what policies
kept; all of them in the end, whatever receiver and server went through."""
import collections
import http.server
import json
import shutil
import socket
import threading
import time
import uuid

import requests
import s3 as s3lib
from harness import Failure, Server, case, contains, finish, free_port, run_cases, same, temp_dir, true, wait_for
from pg import Postgres, stack, stack_environment
from rest_uploads import ALICE, call, fine
from resumable import Tus
from s3 import pattern
from tls import Authority

KEY, REGION = 'the receivers own key', 'eu-test'
POLICIES = """
create policy look on storage.objects for select to authenticated using (true);
create policy buckets on storage.buckets for select to authenticated using (true);
create policy mine on storage.objects for delete to authenticated using (owner_id = auth.uid()::text);
create policy make on storage.objects for insert to authenticated with check (true);
"""


class Receiver:
    """Takes events; `mood` says how it behaves towards those that come."""

    def __init__(self):
        self.got, self.tried, self.mood, self.faults = [], [], 'well', []
        self.lock, self.release = threading.Lock(), threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def do_POST(self):
                outer.receive(self)

            def do_GET(self):
                outer.faults.append(f'GET {self.path}')
                self.send_error(405)

            def log_message(self, *_):
                pass

        class Threads(http.server.ThreadingHTTPServer):
            request_queue_size, daemon_threads = 256, True

            def handle_error(self, *_):
                pass    # connections that were reset

        self.server = Threads(('127.0.0.1', free_port()), Handler)
        self.url = f'http://127.0.0.1:{self.server.server_port}/hook?secret=in-the-url'
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def receive(self, handler):
        body = json.loads(handler.rfile.read(int(handler.headers['content-length'])))
        head = {name: handler.headers[name] for name in ('content-type', 'authorization')}
        if (handler.path, head) != ('/hook?secret=in-the-url', {'content-type': 'application/json', 'authorization': f'Bearer {KEY}'}):
            self.faults.append((handler.path, head))
        identity, mood = handler.headers['webhook-id'], self.mood
        uuid.UUID(identity)
        with self.lock:
            self.tried.append((identity, body['event']['payload']['name']))
        if mood == 'hangs':
            self.release.wait(60)
            handler.close_connection = True
            return
        if mood == 'resets':
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\x01\0\0\0\0\0\0\0')
            handler.connection.close()
            return
        if mood == 'well':
            with self.lock:
                self.got.append((identity, body))
        status = {'fails': 500, 'redirects': 307, 'endless': 503}.get(mood, 204)
        handler.send_response(status)
        if status == 307:
            handler.send_header('location', '/elsewhere')
        if mood == 'endless':
            handler.send_header('connection', 'close')
            handler.end_headers()
            try:
                for _ in range(4096):
                    handler.wfile.write(bytes(65536))
            except OSError:
                return
            self.faults.append('a body of 256 MB was read')
            return
        if status != 204:
            handler.send_header('content-length', '0')
        handler.end_headers()

    def take(self, count, seconds=60):
        """That many events, and a moment later still no more; forgets them."""
        wait_for(f'{count} events', lambda: len(self.got) >= count, seconds)
        time.sleep(0.1)
        with self.lock:
            got, self.got = self.got, []
        same(self.faults, [], 'what the receiver did not like')
        same(len(got), count, f'events {[short(body) for _, body in got]}')
        return got

    def expect(self, *wanted):
        """Exactly these, in any order, as `type bucket/name`."""
        got = self.take(len(wanted))
        same(sorted(short(body) for _, body in got), sorted(wanted), 'events')
        return {short(body): body for _, body in got}


def short(body):
    payload = body['event']['payload']
    return f'{body["event"]["type"]} {payload["bucketId"]}/{payload["name"]}'


RECEIVER = Receiver()


def environment(**more):
    return {'WEBHOOK_URL': RECEIVER.url, 'WEBHOOK_API_KEY': KEY, 'SERVER_REGION': REGION, 'WEBHOOK_QUEUE_PULL_INTERVAL': '100',
            'REQUEST_TRACE_HEADER': 'x-request-id', 'ROWLOCK_BLOB_GRACE': '0s', 'LOG_LEVEL': 'info', **more}


def version(server, key):
    return server.sql(f"select version from storage.objects where bucket_id = 'events' and name = '{key}'")


def fits(body, server, kind, key, size, upload, etag=None, mimetype='text/plain', host=None, **more):
    """Every field of an event but for times, which only have to be times."""
    tenant = {'ref': server.keys.get('TENANT_ID') or server.keys.get('STORAGE_TENANT_ID') or 'storage-single-tenant'}
    if host:
        tenant['host'] = host
    event, payload = body['event'], dict(body['event']['payload'])
    metadata = dict(payload.pop('metadata'))
    true(abs(event['applyTime'] - time.time() * 1000) < 600_000, f'applyTime {event["applyTime"]}')
    for at in (body['sentAt'], metadata.pop('lastModified')):
        true(len(at) == 24 and at.endswith('Z'), f'a time: {at}')
    same({name: body[name] for name in body if name not in ('event', 'sentAt')}, {'type': 'Webhook', 'tenant': tenant}, 'the frame')
    same({name: event[name] for name in event if name not in ('payload', 'applyTime')}, {'type': kind, 'region': REGION, '$version': 'v1'}, 'the event')
    tag = metadata.pop('eTag')
    true(tag == etag if etag else tag.startswith('"'), f'eTag {tag}')
    same(metadata, {'size': size, 'contentLength': size, 'httpStatusCode': 200, 'mimetype': mimetype, 'cacheControl': metadata['cacheControl']}, 'metadata')
    request = payload.pop('reqId')
    true(more.pop('reqId', request) == request and request, f'reqId {request}')
    uploads = {'uploadType': upload} if upload else {}
    same(payload, {'tenant': tenant, 'name': key, 'bucketId': 'events', **uploads, **more}, 'payload')


@case
def uploads_by_rest(server):
    fine(call(server, 'POST', '/bucket', {'name': 'events'}))
    fine(call(server, 'POST', '/object/events/f/a.txt', raw=b'hello', content_type='text/plain', x_request_id='req-7', sb_request_id='sb-7',
              x_forwarded_host='files.example', cache_control='max-age=60', x_metadata='eyJzZWNyZXQiOiAieCJ9'))
    body = RECEIVER.expect('ObjectCreated:Post events/f/a.txt')['ObjectCreated:Post events/f/a.txt']
    fits(body, server, 'ObjectCreated:Post', 'f/a.txt', 5, 'standard', '"5d41402abc4b2a76b9719d911017c592"', host='files.example', reqId='req-7', sbReqId='sb-7',
         version=version(server, 'f/a.txt'))
    same(body['event']['payload']['metadata']['cacheControl'], 'max-age=60', 'cacheControl')
    same(call(server, 'POST', '/object/events/f/a.txt', raw=b'again').status_code, 400, 'a second one')
    fine(call(server, 'POST', '/object/events/f/a.txt', raw=b'again!', content_type='text/plain', x_upsert='true'))
    body = RECEIVER.expect('ObjectCreated:Put events/f/a.txt')['ObjectCreated:Put events/f/a.txt']
    fits(body, server, 'ObjectCreated:Put', 'f/a.txt', 6, 'standard', version=version(server, 'f/a.txt'))
    fine(call(server, 'PUT', '/object/events/f/b.txt', raw=b'put', content_type='text/plain'))
    token = fine(call(server, 'POST', '/object/upload/sign/events/f/c.txt')).json()['url']
    fine(call(server, 'PUT', token, raw=b'signed', token=None, content_type='text/plain'))
    RECEIVER.expect('ObjectCreated:Post events/f/b.txt', 'ObjectCreated:Post events/f/c.txt')


@case
def copies_moves_and_deletes_by_rest(server):
    fine(call(server, 'POST', '/object/copy', {'bucketId': 'events', 'sourceKey': 'f/a.txt', 'destinationKey': 'f/copy'}))
    body = RECEIVER.expect('ObjectCreated:Copy events/f/copy')['ObjectCreated:Copy events/f/copy']
    fits(body, server, 'ObjectCreated:Copy', 'f/copy', 6, 'standard', version=version(server, 'f/copy'))
    old = version(server, 'f/copy')
    fine(call(server, 'POST', '/object/move', {'bucketId': 'events', 'sourceKey': 'f/copy', 'destinationKey': 'f/moved'}))
    told = RECEIVER.expect('ObjectRemoved:Move events/f/copy', 'ObjectCreated:Move events/f/moved')
    fits(told['ObjectRemoved:Move events/f/copy'], server, 'ObjectRemoved:Move', 'f/copy', 6, None, version=old)
    created = told['ObjectCreated:Move events/f/moved']
    former = {'name': 'f/copy', 'bucketId': 'events', 'version': old, 'reqId': created['event']['payload']['reqId']}
    fits(created, server, 'ObjectCreated:Move', 'f/moved', 6, 'standard', version=version(server, 'f/moved'), oldObject=former)
    old = version(server, 'f/moved')
    fine(call(server, 'DELETE', '/object/events/f/moved'))
    body = RECEIVER.expect('ObjectRemoved:Delete events/f/moved')['ObjectRemoved:Delete events/f/moved']
    fits(body, server, 'ObjectRemoved:Delete', 'f/moved', 6, None, version=old)
    fine(call(server, 'DELETE', '/object/events', {'prefixes': ['f/b.txt', 'none', 'f/c.txt']}))
    RECEIVER.expect('ObjectRemoved:Delete events/f/b.txt', 'ObjectRemoved:Delete events/f/c.txt')


@case
def everything_by_s3(server):
    s3 = s3lib.client(server)
    s3.put_object(Bucket='events', Key='s/a', Body=b'hello', ContentType='text/plain', Metadata={'secret': 'x'}, ContentLanguage='de')
    body = RECEIVER.expect('ObjectCreated:Post events/s/a')['ObjectCreated:Post events/s/a']
    fits(body, server, 'ObjectCreated:Post', 's/a', 5, 's3', '"5d41402abc4b2a76b9719d911017c592"', version=version(server, 's/a'))
    s3.put_object(Bucket='events', Key='s/a', Body=b'hello2')
    s3.copy_object(Bucket='events', Key='s/c', CopySource='events/s/a')
    told = RECEIVER.expect('ObjectCreated:Put events/s/a', 'ObjectCreated:Copy events/s/c')
    fits(told['ObjectCreated:Copy events/s/c'], server, 'ObjectCreated:Copy', 's/c', 6, 's3', mimetype='application/octet-stream', version=version(server, 's/c'))
    upload = s3.create_multipart_upload(Bucket='events', Key='s/m', ContentType='text/plain')['UploadId']
    data, parts = pattern(5 * 1024 * 1024 + 3), []
    for number, part in enumerate((data[:5 << 20], data[5 << 20:]), 1):
        tag = s3.upload_part(Bucket='events', Key='s/m', UploadId=upload, PartNumber=number, Body=part)['ETag']
        parts.append({'PartNumber': number, 'ETag': tag})
    s3.upload_part_copy(Bucket='events', Key='s/m', UploadId=upload, PartNumber=3, CopySource='events/s/a')
    done = s3.complete_multipart_upload(Bucket='events', Key='s/m', UploadId=upload, MultipartUpload={'Parts': parts})
    body = RECEIVER.expect('ObjectCreated:Post events/s/m')['ObjectCreated:Post events/s/m']
    fits(body, server, 'ObjectCreated:Post', 's/m', len(data), 's3', done['ETag'], version=version(server, 's/m'))
    form = s3.generate_presigned_post('events', 's/form')
    fine(requests.post(form['url'], data=form['fields'], files={'file': b'form'}, timeout=30))
    RECEIVER.expect('ObjectCreated:Post events/s/form')
    s3.put_object_tagging(Bucket='events', Key='s/m', Tagging={'TagSet': [{'Key': 'a', 'Value': '1'}]})
    aborted = s3.create_multipart_upload(Bucket='events', Key='s/none')['UploadId']
    s3.abort_multipart_upload(Bucket='events', Key='s/none', UploadId=aborted)
    s3.get_object(Bucket='events', Key='s/a')['Body'].read()
    s3.delete_object(Bucket='events', Key='s/a')
    s3.delete_object(Bucket='events', Key='s/none')
    s3.delete_objects(Bucket='events', Delete={'Objects': [{'Key': key} for key in ('s/c', 's/m', 's/none', 's/form')]})
    RECEIVER.expect(*(f'ObjectRemoved:Delete events/s/{name}' for name in ('a', 'c', 'm', 'form')))


@case
def resumable_uploads(server):
    tus = Tus(server)
    path = tus.begin('events', 't/a', 6, meta={'contentType': 'text/plain'})
    tus.patch(path, 0, b'hel')
    same(RECEIVER.got, [], 'events of an upload that is not finished')
    tus.patch(path, 3, b'lo!')
    body = RECEIVER.expect('ObjectCreated:Post events/t/a')['ObjectCreated:Post events/t/a']
    fits(body, server, 'ObjectCreated:Post', 't/a', 6, 'resumable', version=version(server, 't/a'))
    path = tus.create('events', 't/a', 2, body=b'xy', meta={'contentType': 'text/plain'}, x_upsert='true')
    same(path.status, 201, 'an upsert')
    RECEIVER.expect('ObjectCreated:Put events/t/a')
    tus.close()


@case
def what_policies_keep_is_told_of_nobody(server):
    server.sql(POLICIES)
    token = server.token(ALICE)
    fine(call(server, 'POST', '/object/events/p/mine', raw=b'x', token=token))
    fine(call(server, 'POST', '/object/events/p/theirs', raw=b'x'))
    RECEIVER.expect('ObjectCreated:Post events/p/mine', 'ObjectCreated:Post events/p/theirs')
    s3 = s3lib.client(server, token=token)
    same(call(server, 'DELETE', '/object/events/p/theirs', token=token).status_code, 400, 'a delete of what is not hers')
    s3lib.refused(lambda: s3.delete_object(Bucket='events', Key='p/theirs'), 'AccessDenied')
    same(call(server, 'POST', '/object/move', {'bucketId': 'events', 'sourceKey': 'p/theirs', 'destinationKey': 'p/x'}, token=token).status_code, 400, 'a move')
    fine(call(server, 'DELETE', '/object/events', {'prefixes': ['p/theirs', 'p/mine']}, token=token))
    RECEIVER.expect('ObjectRemoved:Delete events/p/mine')
    same(server.sql("select name from storage.objects where name like 'p/%'"), 'p/theirs', 'what is left')


@case
def a_bucket_is_emptied(server):
    fine(call(server, 'POST', '/bucket', {'name': 'full'}))
    server.sql("insert into storage.objects (bucket_id, name, version, metadata) select 'full', 'k' || i, gen_random_uuid(), null from generate_series(1, 1200) i")
    fine(call(server, 'POST', '/bucket/full/empty'))
    got = RECEIVER.take(1200)
    same(len({identity for identity, _ in got}), 1200, 'ids')
    same({short(body) for _, body in got}, {f'ObjectRemoved:Delete full/k{i}' for i in range(1, 1201)}, 'events')
    same({body['event']['payload']['metadata'] for _, body in got}, {None}, 'metadata of rows without any')
    same(len({body['event']['payload']['reqId'] for _, body in got}), 1, 'the one request that caused all of them')
    fine(call(server, 'DELETE', '/bucket/full'))


@case
def a_bad_receiver_stops_nobody_and_loses_nothing(server):
    wanted = []
    for mood in ('fails', 'resets', 'redirects', 'endless', 'hangs'):
        RECEIVER.mood, before = mood, len(RECEIVER.tried)
        for i in range(4):
            fine(call(server, 'POST', f'/object/events/bad/{mood}{i}', raw=pattern(10_000)))
            wanted.append(f'bad/{mood}{i}')
        wait_for(f'a try at one that {mood}', lambda: len(RECEIVER.tried) > before)
    # More than are delivered at a time, so that some are not even tried.
    for i in range(60):
        fine(call(server, 'POST', f'/object/events/bad/more{i}', raw=b'x'))
        wanted.append(f'bad/more{i}')
    fine(call(server, 'DELETE', '/object/events/bad/more0'))
    wait_for('the blob to go although the receiver hangs', lambda: not any('bad/more0' in path for path in server.blobs()))
    same(RECEIVER.got, [], 'what was taken')
    RECEIVER.mood = 'well'
    RECEIVER.release.set()

    def all_there():
        # Repetitions wait longer each time: nobody here waits for those that were tried already.
        server.sql("update rowlock.rowlock_events set due_at = now() where last_error is not null")
        return {body['event']['payload']['name'] for _, body in RECEIVER.got} == set(wanted) and server.sql('select count(*) from rowlock.rowlock_events') == '0'
    wait_for('all events', all_there, 90, every=0.3)
    ids = collections.defaultdict(set)
    for identity, name in RECEIVER.tried:
        if name.startswith('bad/') and name != 'bad/more0':
            ids[name].add(identity)
    same({name for name, of_name in ids.items() if len(of_name) != 1}, set(), 'names whose repetitions had other ids')
    RECEIVER.got.clear()
    same(RECEIVER.faults, [], 'what the receiver did not like')


@case
def a_crash_between_commit_and_delivery(server):
    RECEIVER.release.clear()
    RECEIVER.mood, before = 'hangs', len(RECEIVER.tried)
    for i in range(5):
        fine(call(server, 'POST', f'/object/events/crash/{i}', raw=b'x'))
    wait_for('deliveries under way', lambda: len(RECEIVER.tried) > before)
    server.kill()
    RECEIVER.mood = 'well'
    RECEIVER.release.set()
    server.start()
    # What the dead server had begun with is left alone for as long as it might still live, which is not waited for here.
    server.sql('update rowlock.rowlock_events set due_at = now()')
    RECEIVER.expect(*(f'ObjectCreated:Post events/crash/{i}' for i in range(5)))


@case
def two_servers_tell_nothing_twice(_):
    folder = temp_dir()
    with Postgres() as db:
        stack(db)
        servers = [Server(stack_environment(db, folder, **environment())) for _ in range(2)]
        with servers[0], servers[1]:
            fine(call(servers[0], 'POST', '/bucket', {'name': 'events'}))
            for i in range(40):
                fine(call(servers[i % 2], 'POST', f'/object/events/two/{i}', raw=b'x'))
            got = RECEIVER.take(40)
    shutil.rmtree(folder, ignore_errors=True)
    same(len({identity for identity, _ in got}), 40, 'ids')
    same({short(body) for _, body in got}, {f'ObjectCreated:Post events/two/{i}' for i in range(40)}, 'events')


@case
def over_tls_to_whom_is_trusted(_):
    with Authority(RECEIVER.server.server_port, temp_dir(), ['localhost']) as front:
        told = environment(WEBHOOK_URL=f'https://localhost:{front.port}/hook?secret=in-the-url')
        for trusted in (True, False):
            with Server({**told, **({'SSL_CERT_FILE': str(front.authority)} if trusted else {})}) as server:
                fine(call(server, 'POST', '/bucket', {'name': 'events'}))
                fine(call(server, 'POST', f'/object/events/tls/{trusted}', raw=b'x'))
                if trusted:
                    RECEIVER.expect('ObjectCreated:Post events/tls/True')
                else:
                    wait_for('a refusal of the certificate', lambda: ' - FAILED' in server.log_path.read_text(errors='replace'), 30)
                    RECEIVER.take(0)


@case
def the_log_names_events_and_no_secret(server):
    log = server.log_path.read_text(errors='replace')
    for part in ('[Lifecycle]: ObjectCreated:Post', '/events/f/a.txt', ' - FAILED', 'status 500', 'status 307', 'req-7'):
        contains(log, part, 'the log')
    for secret in (KEY, 'in-the-url'):
        true(secret not in log, f'{secret} is in the log')


@case
def addresses_that_are_none_stop_the_start(_):
    for url in ('hooks.example/x', 'ftp://hooks.example/secret'):
        bad = Server(environment(WEBHOOK_URL=url))
        try:
            bad.start(20)
        except Failure:
            log = bad.log_path.read_text()
            contains(log, 'WEBHOOK_URL', 'the sentence')
            true(url not in log and len(log.strip().splitlines()) <= 3, f'the sentence: {log}')
        else:
            raise Failure(f'{url}: the server started')
        finally:
            bad.discard()


if __name__ == '__main__':
    with Server(environment()) as running:
        counts = run_cases(running)
    finish(*counts)
