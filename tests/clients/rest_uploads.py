"""REST uploads and reads on the wire: overlapping writers, refusals before the body, cut bodies, forms, old clients, keys, buckets emptied."""
import json
import socket
import threading
import time
from urllib.parse import quote

import requests
import s3 as s3lib
from harness import Failure, case, contains, main, same, true, wait_for

ALICE = '317eadce-631a-4429-a0bb-f19a7a517b4a'


def service(server):
    return server.keys.get('SERVICE_ROLE_KEY') or server.keys['SERVICE_KEY']


def call(server, method, path, body=None, token='service', raw=None, prefix='/storage/v1', **headers):
    head = {k.replace('_', '-'): v for k, v in headers.items()}
    if token:
        head['authorization'] = 'Bearer ' + (service(server) if token == 'service' else token)
    if body is not None:
        head['content-type'], raw = 'application/json', json.dumps(body)
    return requests.request(method, server.url + prefix + path, headers=head, data=raw, timeout=30)


def fine(response):
    if response.status_code >= 300:
        raise Failure(f'{response.request.method} {response.request.url}: {response.status_code} {response.text:.300}')
    return response


def refused(response, code, status=400):
    same((response.status_code, response.json().get('code')), (status, code), response.request.path_url)


def bucket(server, name, **more):
    fine(call(server, 'POST', '/bucket', {'name': name, **more}))
    return name


class Raw:
    """One connection, byte by byte."""

    def __init__(self, server, method, path, *headers, token='service'):
        self.socket = socket.create_connection(('127.0.0.1', server.port), timeout=30)
        lines = [f'{method} /storage/v1{path} HTTP/1.1', 'host: localhost']
        if token:
            lines.append('authorization: Bearer ' + (service(server) if token == 'service' else token))
        self.send('\r\n'.join([*lines, *headers, '', '']))

    def send(self, text):
        self.socket.sendall(text.encode() if isinstance(text, str) else text)

    def answer(self):
        """The first answer: its status, its head and its body so far."""
        got = b''
        while b'\r\n\r\n' not in got:
            more = self.socket.recv(65536)
            if not more:
                raise Failure(f'the connection ended after {got!r}')
            got += more
        head, _, body = got.partition(b'\r\n\r\n')
        return int(head.split()[1]), head.decode().lower(), body

    def close(self):
        self.socket.close()


# ---------------------------------------------------------------- writers

@case
def of_overlapping_posts_one_wins(server):
    bucket(server, 'overlap')
    before = len(server.blobs())
    waiting = [Raw(server, 'POST', '/object/overlap/k', 'content-type: text/plain', 'content-length: 4') for _ in range(6)]
    for connection in waiting:
        connection.send('ab')
    time.sleep(0.3)   # all have their permit by now
    for connection in waiting:
        connection.send('cd')
    answers = [connection.answer() for connection in waiting]
    same(sorted(status for status, _, _ in answers), [200] + [400] * 5, 'statuses')
    for status, _, body in answers:
        if status == 400:
            same(json.loads(body)['code'], 'KeyAlreadyExists', 'code')
    same(fine(call(server, 'GET', '/object/overlap/k')).content, b'abcd', 'the object')
    wait_for('the losers\' blobs to go', lambda: len(server.blobs()) == before + 1)


@case
def refusals_come_before_the_body(server):
    bucket(server, 'strict', file_size_limit='1KB', allowed_mime_types=['text/plain'])
    kind = 'content-type: text/plain'
    for path, headers, token, code in (
            ('/object/strict/k', [kind], 'service', 'EntityTooLarge'),
            ('/object/strict/k', ['content-type: image/png'], 'service', 'InvalidMimeType'),
            ('/object/overlap/k', [kind], 'service', 'KeyAlreadyExists'),
            ('/object/overlap/new', [kind], server.token(ALICE), 'AccessDenied'),
            ('/object/none/k', [kind], 'service', 'NoSuchBucket'),
            ('/object/overlap/k', [kind], None, 'InvalidRequest'),
            ('/object/overlap/a%2F..%2Fk', [kind], 'service', 'InvalidKey'),
            ('/object/overlap/.emptyFolderPlaceholder', [kind], 'service', 'EntityTooLarge')):
        length = 500 if code == 'InvalidMimeType' else 50_000_000
        connection = Raw(server, 'POST', path, f'content-length: {length}', 'expect: 100-continue', *headers, token=token)
        status, head, body = connection.answer()   # a 100 would be the first answer
        same((status, json.loads(body)['code']), (400, code), path)
        contains(head, 'connection: close', 'head')
        connection.close()
    connection = Raw(server, 'PUT', '/object/overlap/welcome', 'content-length: 2', 'expect: 100-continue', kind)
    same(connection.answer()[0], 100, 'a welcome upload')
    connection.send('ok')
    same(connection.answer()[0], 200, 'a welcome upload')


@case
def a_cut_body_leaves_nothing(server):
    before = server.blobs()
    form = '--B\r\ncontent-disposition: form-data; name=""; filename="f"\r\n\r\nhalf a fi'
    for headers, part in ((['content-length: 100'], 'half'), (['transfer-encoding: chunked'], '4\r\nhalf\r\n'),
                          (['content-length: 500', 'content-type: multipart/form-data; boundary=B'], form)):
        connection = Raw(server, 'POST', '/object/overlap/cut', *headers)
        connection.send(part)
        time.sleep(0.2)
        connection.close()
    refused(call(server, 'POST', '/object/overlap/cut', raw=form.encode(), content_type='multipart/form-data; boundary=B'), 'InvalidRequest')
    refused(call(server, 'GET', '/object/overlap/cut'), 'NoSuchKey')
    wait_for('the cut blobs to go', lambda: server.blobs() == before)


@case
def a_chunked_body_meets_its_limit(server):
    def pieces():
        for _ in range(20):
            yield b'x' * 100
    refused(call(server, 'POST', '/object/strict/chunked', raw=pieces(), content_type='text/plain'), 'EntityTooLarge')
    fine(call(server, 'POST', '/object/strict/chunked', raw=iter([b'one', b'two']), content_type='text/plain'))
    same(fine(call(server, 'GET', '/object/strict/chunked')).content, b'onetwo', 'body')


# ---------------------------------------------------------------- forms

@case
def forms(server):
    bucket(server, 'forms')
    url, head = server.url + '/storage/v1/object/forms/', {'authorization': 'Bearer ' + service(server)}
    texts = {'cacheControl': (None, '60'), 'metadata': (None, '{"n": 1, "list": [true]}')}
    fine(requests.post(url + 'a', headers=head, files={**texts, '': ('f.txt', b'form', 'text/csv')}))
    got = fine(call(server, 'GET', '/object/forms/a'))
    same((got.content, got.headers['content-type'], got.headers['cache-control']), (b'form', 'text/csv', 'max-age=60'), 'read')
    same(fine(call(server, 'GET', '/object/info/forms/a')).json()['metadata'], {'n': 1, 'list': [True]}, 'metadata')
    # A field without any name, a file of another one behind it, and texts that come too late.
    body = ('--B\r\ncontent-disposition: form-data; filename="f"\r\ncontent-type: text/plain\r\n\r\nfirst\r\n'
            '--B\r\ncontent-disposition: form-data; name="x"; filename="g"\r\n\r\nsecond\r\n'
            '--B\r\ncontent-disposition: form-data; name="cacheControl"\r\n\r\n1\r\n--B--\r\n')
    fine(call(server, 'PUT', '/object/forms/a', raw=body, content_type='multipart/form-data; boundary=B'))
    got = fine(call(server, 'GET', '/object/forms/a'))
    same((got.content, got.headers['cache-control']), (b'first', 'no-cache'), 'the first file wins')
    many = {f'f{i}': (None, 'x') for i in range(11)}
    refused(requests.post(url + 'many', headers=head, files={**many, '': ('f', b'x', 'text/plain')}), 'InvalidRequest')
    refused(call(server, 'POST', '/object/forms/b', raw='x', content_type='multipart/form-data'), 'InvalidRequest')
    large = b'0123456789abcdef' * (1024 * 1024)
    fine(requests.post(url + 'large', headers=head, files={'': ('f', large, 'text/plain')}))
    true(fine(call(server, 'GET', '/object/forms/large')).content == large, 'a large form')
    true(server.memory()[0] < 200, f'peak memory {server.memory()[0]:.0f} MB')


# ---------------------------------------------------------------- reads

@case
def public_and_private(server):
    bucket(server, 'open', public=True)
    for name in ('open', 'forms'):
        fine(call(server, 'POST', f'/object/{name}/k', raw='bytes', content_type='text/plain'))
    for path in ('/object/public/open/k', '/object/open/k'):
        for token in (None, 'not.a.token', server.token(ALICE)):
            same(fine(call(server, 'GET', path, token=token)).content, b'bytes', path)
    refused(call(server, 'GET', '/object/public/forms/k', token=None), 'NoSuchBucket')
    refused(call(server, 'GET', '/object/forms/k', token='not.a.token'), 'NoSuchBucket')
    refused(call(server, 'GET', '/object/forms/k', token=server.token(ALICE)), 'NoSuchKey')
    refused(call(server, 'GET', '/object/authenticated/open/k', token='not.a.token'), 'AccessDenied')
    head = call(server, 'HEAD', '/object/public/open/k', token=None)
    same((head.status_code, head.headers['content-length'], head.content), (200, '5', b''), 'HEAD')
    same(call(server, 'HEAD', '/object/public/open/none', token=None).status_code, 400, 'HEAD of nothing')
    server.sql("create policy alice on storage.objects for select to authenticated using (storage.operation() = 'object.head_authenticated_info')")
    same(call(server, 'HEAD', '/object/forms/k', token=server.token(ALICE)).status_code, 200, 'HEAD by its operation')
    refused(call(server, 'GET', '/object/forms/k', token=server.token(ALICE)), 'NoSuchKey')
    server.sql('drop policy alice on storage.objects')


@case
def api_keys_and_prefixes(server):
    for prefix in ('', '/storage/v1'):
        same(fine(call(server, 'GET', '/object/forms/k', prefix=prefix)).content, b'bytes', prefix)
        for headers, query in (({'apikey': service(server)}, ''), ({}, '?cacheNonce=7&apikey=' + service(server))):
            same(fine(call(server, 'GET', '/object/forms/k' + query, token=None, prefix=prefix, **headers)).content, b'bytes', prefix)


@case
def ranges_and_conditions(server):
    text = ''.join(map(str, range(1000)))
    fine(call(server, 'POST', '/object/open/long', raw=text, content_type='text/plain', cache_control='max-age=9'))
    whole = fine(call(server, 'GET', '/object/public/open/long', token=None))
    got = call(server, 'GET', '/object/public/open/long', token=None, range='bytes=-5')
    same((got.status_code, got.text, got.headers['content-range']), (206, text[-5:], f'bytes {len(text) - 5}-{len(text) - 1}/{len(text)}'), 'suffix')
    refused(call(server, 'GET', '/object/public/open/long', token=None, range='bytes=0-1,3-4'), 'InvalidRange', 416)
    known = call(server, 'GET', '/object/public/open/long', token=None, if_none_match=whole.headers['etag'], range='bytes=0-1')
    same((known.status_code, known.content, known.headers['cache-control']), (304, b'', 'max-age=9'), 'a known tag')
    for name in ('日本 語.txt', 'a"b\\c.txt', "it's (1).txt", 'x' * 200):
        got = fine(call(server, 'GET', '/object/public/open/long?download=' + quote(name, safe=''), token=None))
        contains(got.headers['content-disposition'], "filename*=UTF-8''" + quote(name, safe='!'), name)


@case
def keys_of_any_script(server):
    keys = ['ünï/日本 語.txt', 'hash#1?.txt', '100%.txt', 'x%2Fy', '[a]^|`{}\\~.txt', 'd//e', 'trail/', '😀', 'x' * 300, 'é' * 512]
    for key in keys:
        fine(call(server, 'POST', '/object/forms/' + quote(key), raw=key.encode(), content_type='text/plain'))
        same(fine(call(server, 'GET', '/object/forms/' + quote(key))).content, key.encode(), key)
        same(fine(call(server, 'GET', '/object/info/forms/' + quote(key, safe=''))).json()['name'], key, 'with %2F')
    listed = {entry['Key'] for entry in s3lib.client(server).list_objects_v2(Bucket='forms')['Contents']}
    true(set(keys) <= listed, f'S3 lists {sorted(set(keys) - listed)} not')
    for key in ('a/../b', './a', 'a/.', 'nul\0', 'bell\7', 'é' * 512 + 'e', ''):
        refused(call(server, 'PUT', '/object/forms/' + quote(key, safe=''), raw='x'), 'InvalidKey')


@case
def written_by_s3(server):
    client = s3lib.client(server)
    client.put_object(Bucket='open', Key='of/s3.txt', Body=b'by s3', ContentType='text/x', CacheControl='max-age=3', Metadata={'colour': 'red'}, ContentLanguage='de')
    got = fine(call(server, 'GET', '/object/public/open/of/s3.txt', token=None))
    same((got.content, got.headers['content-type'], got.headers['cache-control'], got.headers['content-language']), (b'by s3', 'text/x', 'max-age=3', 'de'), 'read')
    info = fine(call(server, 'GET', '/object/info/open/of/s3.txt')).json()
    same((info['metadata'], info['size'], info['etag']), ({'colour': 'red'}, 5, got.headers['etag']), 'info')
    fine(call(server, 'POST', '/object/open/of/rest.txt', raw='by rest', content_type='text/y', cache_control='max-age=4', x_metadata='eyJjb2xvdXIiOiAiYmx1ZSJ9'))
    head = client.head_object(Bucket='open', Key='of/rest.txt')
    same((head['ContentType'], head['CacheControl'], head['Metadata'], head['ContentLength']), ('text/y', 'max-age=4', {'colour': 'blue'}, 7), 'HeadObject')


# ---------------------------------------------------------------- buckets

@case
def connections_live_on(server):
    """SDKs send `{}` where nothing is read, and one connection for everything."""
    with requests.Session() as session:
        def on(method, path, **more):
            return fine(session.request(method, server.url + path, headers={'authorization': 'Bearer ' + service(server)}, timeout=30, **more))
        answers = [on('POST', '/bucket', json={'name': 'session'}), on('POST', '/bucket/session/empty', json={}),
                   on('POST', '/object/session/k', files={'': ('f', b'form', 'text/plain')}), on('GET', '/object/session/k'),
                   on('POST', '/bucket/session/empty', json={}), on('DELETE', '/bucket/session', json={})]
    same([a.headers.get('connection') for a in answers], [None] * len(answers), 'connection headers')


@case
def old_clients_see_no_type(server):
    for headers, shown in (({}, True), ({'x_client_info': 'supabase-py/2.17.0'}, False), ({'x_client_info': 'supabase-py/2.18.0'}, True),
                           ({'user_agent': 'supabase-py/storage3 v0.11.3'}, False), ({'user_agent': 'supabase-py/storage3 v0.12.1'}, True)):
        same('type' in fine(call(server, 'GET', '/bucket', **headers)).json()[0], shown, headers)


@case
def a_large_bucket_is_emptied_across_a_crash(server):
    bucket(server, 'big')
    server.sql("insert into storage.objects (bucket_id, name, version, metadata) select 'big', 'k' || i, gen_random_uuid(), '{}' from generate_series(1, 6000) i")
    left = lambda: int(server.sql("select count(*) from storage.objects where bucket_id = 'big'"))
    fine(call(server, 'POST', '/bucket/big/empty'))
    fine(call(server, 'POST', '/object/big/k6000', raw='later', content_type='text/plain', x_upsert='true'))
    fine(call(server, 'POST', '/object/big/new', raw='later', content_type='text/plain'))
    true(left() <= 5001, f'{left()} objects after the answer')
    server.kill()
    server.start()
    # What the killed one had claimed is taken up after a minute.
    wait_for('the rest to go', lambda: left() <= 2, 120)
    for key in ('k6000', 'new'):
        same(fine(call(server, 'GET', f'/object/big/{key}')).content, b'later', key)
    refused(call(server, 'DELETE', '/bucket/big'), 'ResourceNotEmpty')
    fine(call(server, 'POST', '/bucket/big/empty'))
    fine(call(server, 'DELETE', '/bucket/big'))
    refused(call(server, 'GET', '/bucket/big'), 'NoSuchBucket')


@case
def many_writers_and_readers_of_one_key(server):
    """Readers see one whole body or another."""
    bodies = [bytes([65 + i]) * 300_000 for i in range(4)]
    fine(call(server, 'PUT', '/object/open/shared', raw=bodies[0], content_type='text/plain'))
    stop, faults = threading.Event(), []

    def write(body):
        while not stop.is_set():
            answer = call(server, 'PUT', '/object/open/shared', raw=body, content_type='text/plain')
            if answer.status_code != 200:
                faults.append(f'a writer got {answer.status_code} {answer.text:.200}')

    threads = [threading.Thread(target=write, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    for _ in range(60):
        got = call(server, 'GET', '/object/public/open/shared', token=None).content
        if got not in bodies:
            faults.append(f'a reader got {len(got)} bytes of {set(got)}')
    stop.set()
    for thread in threads:
        thread.join()
    same(faults, [], 'faults')


if __name__ == '__main__':
    main()
