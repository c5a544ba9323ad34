"""TUS 1.0.0, every MUST of it (https://tus.io/protocols/resumable-upload), and what is beyond it: limits, policies, signed tokens, expiry."""
import email.utils
import socket
import threading
import time

import requests
from harness import Failure, Server, case, contains, finish, run_cases, same, true, wait_for
from rest_uploads import ALICE, bucket, call, fine, service
from s3 import pattern
from resumable import OFFSET_TYPE, Tus, all_read, metadata

BUCKET = 'resumable'
POLICIES = """
create policy own_insert on storage.objects for insert to authenticated with check (bucket_id = 'resumable' and (storage.foldername(name))[1] = auth.uid()::text);
create policy own_select on storage.objects for select to authenticated using (bucket_id = 'resumable' and (storage.foldername(name))[1] = auth.uid()::text);
"""


def read(server, key, name=BUCKET):
    return fine(call(server, 'GET', f'/object/{name}/{key}')).content


def told(answer, status, text, what):
    same((answer.status, answer.text), (status, text), what)


# ---------------------------------------------------------------- core

@case
def an_upload_in_pieces(server):
    bucket(server, BUCKET)
    tus, data = Tus(server), pattern(3_000_000, 'pieces')
    answer = tus.create(BUCKET, 'a/one ü.bin', len(data), meta=dict(contentType='application/x-tus', cacheControl='77', metadata='{"t":"1"}'))
    same((answer.status, answer.body, answer.headers['tus-resumable']), (201, b'', '1.0.0'), 'create')
    url = answer.headers['location']
    true(url.startswith(f'{server.url}/storage/v1/upload/resumable/'), f'Location {url}')
    at = 0
    for size in (1, 999_999, 1_500_000, 500_000):
        head = tus.ask('HEAD', answer.path)
        same((head.status, head.offset, head.headers['upload-length'], head.headers['cache-control']), (200, at, '3000000', 'no-store'), 'HEAD')
        same(head.headers['upload-metadata'], metadata(BUCKET, 'a/one ü.bin', contentType='application/x-tus', cacheControl='max-age=77', metadata='{"t":"1"}'), 'metadata')
        true(call(server, 'GET', f'/object/{BUCKET}/a/one ü.bin').status_code == 400, 'an unfinished object is there')
        patch = tus.patch(answer.path, at, data[at:at + size])
        at += size
        same((patch.status, patch.offset, patch.body, patch.headers['tus-resumable']), (204, at, b'', '1.0.0'), 'PATCH')
    same(tus.offset(answer.path), len(data), 'the offset at the end')
    got = fine(call(server, 'GET', f'/object/{BUCKET}/a/one ü.bin'))
    true(got.content == data, 'the object differs')
    same((got.headers['content-type'], got.headers['cache-control']), ('application/x-tus', 'max-age=77'), 'headers')
    same(fine(call(server, 'GET', f'/object/info/{BUCKET}/a/one ü.bin')).json()['metadata'], {'t': '1'}, 'user metadata')


@case
def what_the_core_demands(server):
    tus = Tus(server)
    path = tus.begin(BUCKET, 'core', 10)
    for method, headers in (('HEAD', {}), ('POST', dict(upload_length='1', upload_metadata=metadata(BUCKET, 'x'))), ('DELETE', {})):
        at = tus.base if method == 'POST' else path
        answer = tus.ask(method, at, tus_resumable=None, **headers)
        same((answer.status, answer.headers['tus-resumable'], answer.headers['tus-version']), (412, '1.0.0', '1.0.0'), f'{method} without a version')
        answer = tus.ask(method, at, tus_resumable='0.2.2', **headers)
        same((answer.status, answer.headers['tus-version']), (412, '1.0.0'), f'{method} of another version')
    told(tus.patch(path, 0, b'x', tus_resumable=None), 412, 'Tus-Resumable Required\n', 'PATCH without a version')
    told(tus.patch(path, 0, b'x', content_type='text/plain'), 400, 'Invalid content-type\n', 'another type')
    told(tus.patch(path, 0, b'x', content_type=None), 403, 'Content-Type header required\n', 'no type')
    told(tus.patch(path, 0, b'x', upload_offset=None), 403, 'Upload-Offset header required\n', 'no offset')
    for bad in ('-1', '1.0', 'x', '', '99999999999999999999'):
        told(tus.patch(path, bad, b'x'), 400, 'Invalid upload-offset\n', f'offset {bad!r}')
    same(tus.offset(path), 0, 'nothing was taken')
    same(tus.patch(path, 0, b'abcd').offset, 4, 'four bytes')
    for wrong in (0, 3, 5, 10):
        told(tus.patch(path, wrong, b'zz'), 409, 'Upload-Offset conflict\n', f'offset {wrong}')
    same(tus.patch(path, 4, b'').offset, 4, 'a PATCH without bytes')
    same(tus.patch(path, 4, b'efghij').offset, 10, 'the rest')
    same(read(server, 'core'), b'abcdefghij', 'the object')
    same(tus.patch(path, 10, b'').status, 204, 'nothing at the end')
    true(tus.patch(path, 10, b'more').status in (400, 403, 409, 413), 'bytes beyond the end')
    same(read(server, 'core'), b'abcdefghij', 'the object still')


@case
def more_bytes_than_announced_are_refused(server):
    tus = Tus(server)
    path = tus.begin(BUCKET, 'beyond', 5)
    told(tus.patch(path, 0, b'123456'), 413, 'Maximum size exceeded\n', 'announced')
    chunked = iter([b'12', b'3456'])
    same(tus.patch(path, tus.offset(path), chunked).status, 413, 'as they come')
    at = tus.offset(path)
    same(tus.patch(path, at, b'12345'[at:]).status, 204, 'the right ones')
    same(read(server, 'beyond'), b'12345', 'the object')


@case
def unknown_uploads(server):
    tus = Tus(server)
    path = tus.begin(BUCKET, 'unknown', 10)
    true(tus.ask('DELETE', path).status == 204, 'DELETE')
    same(tus.ask('HEAD', path).headers['cache-control'], 'no-store', 'HEAD of what is gone')
    for method, more in (('HEAD', {}), ('DELETE', {}), ('PATCH', dict(upload_offset='0', content_type=OFFSET_TYPE))):
        answer = tus.ask(method, path, **more)
        true(answer.status in (404, 410) and 'upload-offset' not in answer.headers, f'{method} of what is gone: {answer.status}')
        for bogus in ('/bm9wZQ', '/%ff', '/a-b_c'):
            same(tus.ask(method, tus.base + bogus, **more).status, 400, f'{method} {bogus}')
    same(tus.ask('GET', path).status, 404, 'GET')
    same(tus.ask('POST', path, upload_length='1', upload_metadata=metadata(BUCKET, 'x')).status, 404, 'POST to an upload')


@case
def the_method_may_stand_in_a_header(server):
    tus = Tus(server)
    path = tus.begin(BUCKET, 'override', 4)
    answer = tus.ask('POST', path, b'ab', x_http_method_override='PATCH', upload_offset='0', content_type=OFFSET_TYPE)
    same((answer.status, answer.offset), (204, 2), 'PATCH')
    same(tus.ask('POST', path, x_http_method_override='HEAD').offset, 2, 'HEAD')
    same(tus.ask('POST', path, x_http_method_override='DELETE').status, 204, 'DELETE')
    same(tus.ask('HEAD', path).status, 404, 'gone')


@case
def options_say_what_there_is(server):
    for path in ('', '/sign', '/abc'):
        answer = requests.options(server.url + '/storage/v1/upload/resumable' + path, timeout=30)
        same((answer.status_code, answer.headers['tus-version'], answer.headers['tus-resumable']), (204, '1.0.0', '1.0.0'), path)
        same(answer.headers['tus-extension'], 'creation,creation-with-upload,creation-defer-length,termination,expiration', path)
        same(answer.headers['tus-max-size'], '20000000', path)
    asked = {'origin': 'http://app.example', 'access-control-request-method': 'PATCH', 'access-control-request-headers': 'authorization,tus-resumable,x-mine'}
    answer = requests.options(server.url + '/upload/resumable', headers=asked, timeout=30)
    same(answer.headers['access-control-allow-origin'], '*', 'origin')
    for name in ('PATCH', 'HEAD', 'DELETE', 'POST'):
        contains(answer.headers['access-control-allow-methods'], name, 'methods')
    allowed = [name.strip().lower() for name in answer.headers['access-control-allow-headers'].split(',')]
    for name in ('authorization', 'tus-resumable', 'upload-offset', 'upload-metadata', 'x-upsert', 'x-signature', 'content-type', 'apikey', 'x-mine'):
        true(name in allowed, f'{name} is not among {allowed}')
    exposed = Tus(server).create(BUCKET, 'cors', 1, origin='http://app.example').headers['access-control-expose-headers'].lower()
    for name in ('location', 'tus-resumable', 'upload-offset', 'upload-length', 'upload-metadata', 'upload-expires', 'tus-max-size', 'tus-extension', 'tus-version'):
        contains(exposed, name, 'exposed headers')


# ---------------------------------------------------------------- extensions

@case
def creation_wants_a_length_and_metadata(server):
    tus = Tus(server)
    told(tus.create(BUCKET, 'x'), 400, 'Upload-Length or Upload-Defer-Length header required\n', 'neither')
    told(tus.create(BUCKET, 'x', 5, upload_defer_length='1'), 400, 'Upload-Length or Upload-Defer-Length header required\n', 'both')
    told(tus.create(BUCKET, 'x', upload_defer_length='0'), 400, 'Invalid upload-defer-length\n', 'another value')
    for bad in ('-1', 'x', '1.5', ''):
        told(tus.create(BUCKET, 'x', bad), 400, 'Invalid upload-length\n', bad)
    told(tus.ask('POST', tus.base, upload_length='1'), 400, 'Metadata header is required', 'none')
    for bad in ('bucketName !!', 'a YQ==,a YQ==', ',', 'a YQ==,,b YQ=='):
        told(tus.ask('POST', tus.base, upload_length='1', upload_metadata=bad), 400, 'Invalid upload-metadata\n', bad)
    told(tus.create('none', 'x', 1), 404, 'Bucket not found', 'bucket')
    told(tus.create(BUCKET, 'a/../x', 1), 400, 'Invalid key: a/../x', 'key')
    told(tus.create(BUCKET, 'x', 20_000_001), 413, 'Maximum size exceeded\n', 'beyond the global limit')
    same(tus.create(BUCKET, 'x', 5, upload_concat='partial').status, 501, 'concatenation')
    for bad in ('text/plain\r\nset-cookie: a=b', 'a\0b'):
        told(tus.create(BUCKET, 'x', 1, meta=dict(contentType=bad)), 400, 'Invalid upload-metadata\n', bad)
        told(tus.create(BUCKET, 'x', 1, meta=dict(cacheControl=bad)), 400, 'Invalid upload-metadata\n', bad)
    begun = server.sql('select count(*) from rowlock.rowlock_resumable')
    told(tus.create(BUCKET, 'x', 5, body=b'123456'), 413, 'Maximum size exceeded\n', 'more than the whole')
    same(server.sql('select count(*) from rowlock.rowlock_resumable'), begun, 'an upload that nobody was told of')
    told(tus.create(BUCKET, 'x', 5, body=iter([b'123', b'456'])), 413, 'Maximum size exceeded\n', 'more than the whole, as it comes')
    wait_for('the upload that nobody was told of to go', lambda: server.sql('select count(*) from rowlock.rowlock_resumable') == begun)


@case
def creation_takes_the_first_bytes(server):
    tus, data = Tus(server), pattern(100_000, 'first')
    answer = tus.create(BUCKET, 'first', len(data), body=data[:40_000])
    same((answer.status, answer.offset), (201, 40_000), 'create')
    same(tus.offset(answer.path), 40_000, 'HEAD')
    same(tus.patch(answer.path, 40_000, data[40_000:]).offset, len(data), 'the rest')
    true(read(server, 'first') == data, 'the object differs')
    answer = tus.create(BUCKET, 'whole', len(data), body=data)
    same((answer.status, answer.offset), (201, len(data)), 'all of it')
    true(read(server, 'whole') == data, 'the object differs')
    answer = tus.create(BUCKET, 'chunked', len(data), body=iter([data[:10], data[10:]]))
    same((answer.status, answer.offset), (201, len(data)), 'of unknown length')
    true(read(server, 'chunked') == data, 'the object differs')
    answer = tus.ask('POST', tus.base, b'ignored', upload_length='4', upload_metadata=metadata(BUCKET, 'ignored'), content_type='text/plain')
    same((answer.status, tus.offset(answer.path)), (201, 0), 'a body of another type is none')


@case
def the_length_may_come_later(server):
    tus = Tus(server)
    path = tus.begin(BUCKET, 'later', upload_defer_length='1')
    head = tus.ask('HEAD', path)
    same((head.headers.get('upload-defer-length'), 'upload-length' in head.headers), ('1', False), 'HEAD')
    same(tus.patch(path, 0, b'abc').offset, 3, 'without length')
    same(tus.ask('HEAD', path).headers.get('upload-defer-length'), '1', 'HEAD still')
    same(tus.patch(path, 3, b'', upload_length='6').offset, 3, 'the length alone')
    head = tus.ask('HEAD', path)
    same((head.headers.get('upload-length'), 'upload-defer-length' in head.headers), ('6', False), 'HEAD with length')
    true(tus.patch(path, 3, b'', upload_length='7').status in (400, 403, 409), 'another length')
    same(tus.patch(path, 3, b'def').offset, 6, 'the rest')
    same(read(server, 'later'), b'abcdef', 'the object')
    path = tus.begin(BUCKET, 'at-once', upload_defer_length='1')
    same(tus.patch(path, 0, b'abc', upload_length='3').offset, 3, 'all and the length')
    same(read(server, 'at-once'), b'abc', 'the object')
    path = tus.begin(BUCKET, 'too-late', upload_defer_length='1')
    same(tus.patch(path, 0, b'abc').offset, 3, 'three')
    true(tus.patch(path, 3, b'', upload_length='2').status >= 400, 'less than there is')
    same(tus.patch(path, 3, b'', upload_length='3').offset, 3, 'what there is')
    same(read(server, 'too-late'), b'abc', 'the object')


@case
def empty_objects(server):
    tus = Tus(server)
    answer = tus.create(BUCKET, 'empty', 0)
    same(answer.status, 201, 'create')
    same(tus.offset(answer.path), 0, 'HEAD')
    same(read(server, 'empty'), b'', 'the object')
    path = tus.begin(BUCKET, 'empty-later', upload_defer_length='1')
    same(tus.patch(path, 0, b'', upload_length='0').status, 204, 'the length')
    same(read(server, 'empty-later'), b'', 'the object')


@case
def termination(server):
    tus = Tus(server)
    path = tus.begin(BUCKET, 'given-up', 10)
    same(tus.patch(path, 0, b'abcd').status, 204, 'PATCH')
    answer = tus.ask('DELETE', path)
    same((answer.status, answer.body, answer.headers['tus-resumable']), (204, b'', '1.0.0'), 'DELETE')
    same(tus.ask('HEAD', path).status, 404, 'HEAD')
    done = tus.begin(BUCKET, 'stays', 1, body=b'x')
    same(tus.ask('DELETE', done).status, 400, 'DELETE of what is an object')
    same(read(server, 'stays'), b'x', 'the object')


@case
def uploads_expire(server):
    tus = Tus(server)
    answer = tus.create(BUCKET, 'expires', 10)
    for answer in (answer, tus.ask('HEAD', answer.path), tus.patch(answer.path, 0, b'ab')):
        at = email.utils.parsedate_to_datetime(answer.headers['upload-expires']).timestamp()
        true(3000 < at - time.time() < 3700, f'Upload-Expires {answer.headers["upload-expires"]}')
        true(answer.headers['upload-expires'].endswith(' GMT'), 'an HTTP date')


# ---------------------------------------------------------------- limits, overwriting, names

@case
def the_buckets_limits_hold(server):
    bucket(server, 'narrow', file_size_limit=1000, allowed_mime_types=['text/plain'])
    tus, kind = Tus(server), dict(contentType='text/plain')
    told(tus.create('narrow', 'big', 2000, meta=kind), 413, 'Maximum size exceeded\n', 'announced')
    told(tus.create('narrow', 'x', 10, meta=dict(contentType='application/json')), 415, 'mime type application/json is not supported', 'type')
    path = tus.begin('narrow', 'deferred', upload_defer_length='1', meta=kind)
    same(tus.patch(path, 0, b'x' * 600).status, 204, 'within')
    told(tus.patch(path, 600, b'x' * 600), 413, 'Maximum size exceeded\n', 'as they come')
    told(tus.patch(path, tus.offset(path), b'', upload_length='1001'), 413, 'Maximum size exceeded\n', 'as the length comes')
    at = tus.offset(path)
    same(tus.patch(path, at, b'x' * (1000 - at), upload_length='1000').status, 204, 'exactly')
    same(len(read(server, 'deferred', 'narrow')), 1000, 'the object')


@case
def what_is_there_is_replaced_only_on_demand(server):
    tus = Tus(server)
    fine(call(server, 'POST', f'/object/{BUCKET}/there', raw='old', content_type='text/plain'))
    told(tus.create(BUCKET, 'there', 3), 409, 'The resource already exists', 'create')
    path = tus.begin(BUCKET, 'there', 3, x_upsert='true')
    same(read(server, 'there'), b'old', 'the old one until the end')
    same(tus.patch(path, 0, b'ne', x_upsert='true').status, 204, 'PATCH')
    told(tus.patch(path, 2, b'w'), 409, 'The resource already exists', 'the last one decides')
    same(read(server, 'there'), b'old', 'the old one')
    same(tus.patch(path, tus.offset(path), b'w', x_upsert='true').status, 204, 'with upsert')
    same(read(server, 'there'), b'new', 'the new one')
    # Two uploads of one name, begun while nothing was there.
    first, second = (tus.begin(BUCKET, 'race', 1) for _ in range(2))
    same(tus.patch(first, 0, b'1').status, 204, 'the first')
    told(tus.patch(second, 0, b'2'), 409, 'The resource already exists', 'the second')
    same(read(server, 'race'), b'1', 'the object')


@case
def policies_decide(server):
    server.sql(POLICIES)
    token = server.token(ALICE)
    alice, anon = Tus(server, token), Tus(server, server.keys['ANON_KEY'])
    words = 'new row violates row-level security policy'
    told(alice.create(BUCKET, 'not/mine', 1), 403, words, 'another folder')
    told(anon.create(BUCKET, f'{ALICE}/x', 1), 403, words, 'nobody')
    path = alice.begin(BUCKET, f'{ALICE}/x', 4)
    told(anon.patch(path, 0, b'ab'), 403, words, 'another caller goes on')
    same(anon.ask('DELETE', path).status, 403, 'another caller gives up')
    head = anon.ask('HEAD', path)
    same((head.status, 'upload-metadata' in head.headers), (403, False), 'another caller asks')
    same(alice.patch(path, 0, b'ab').status, 204, 'PATCH')
    server.sql("alter policy own_insert on storage.objects with check (false)")
    told(alice.patch(path, 2, b'cd'), 403, words, 'the policy was changed')
    server.sql("drop policy own_insert on storage.objects; drop policy own_select on storage.objects;" + POLICIES)
    same(alice.patch(path, alice.offset(path), b'cd'[alice.offset(path) - 2:]).status, 204, 'and back')
    same(alice.offset(path), 4, 'HEAD of what is an object')
    same(anon.ask('HEAD', path).status, 403, "HEAD of what is another's object")
    same(read(server, f'{ALICE}/x'), b'abcd', 'the object')
    same(server.sql(f"select owner_id from storage.objects where name = '{ALICE}/x'"), ALICE, 'the owner')
    server.sql("""drop policy own_insert on storage.objects; create policy tus_only on storage.objects for insert to authenticated with check (
        storage.operation() in ('storage.tus.upload.create', 'storage.tus.upload.part') and metadata->>'mimetype' = 'text/x' and metadata->>'contentLength' = '3')""")
    same(alice.create(BUCKET, 'by-operation', 4, meta=dict(contentType='text/x')).status, 403, 'another length')
    path = alice.begin(BUCKET, 'by-operation', 3, meta=dict(contentType='text/x'))
    same(alice.offset(path), 0, 'HEAD goes by the name of what comes next')
    same(alice.patch(path, 0, b'abc').status, 204, 'by operation')
    true(call(server, 'POST', f'/object/{BUCKET}/by-rest', raw='abc', token=token, content_type='text/x').status_code == 400, 'REST is another operation')
    server.sql('drop policy tus_only on storage.objects; drop policy own_select on storage.objects')


@case
def callers_need_a_token(server):
    for path, headers in (('', {}), ('/bm9wZQ', {}), ('', {'authorization': 'Bearer x.y.z'}), ('', {'authorization': 'Basic eA=='})):
        method = 'POST' if path == '' else 'PATCH'
        answer = requests.request(method, server.url + '/upload/resumable' + path, headers={'tus-resumable': '1.0.0', **headers}, timeout=30)
        same((answer.status_code, answer.json()['code'], answer.json()['statusCode']), (400, 'AccessDenied', '403'), f'{method} {headers}')
        same(answer.headers['tus-resumable'], '1.0.0', 'the version of a refusal')
    key = Tus(server)
    answer = key.create(BUCKET, 'api-key', 1, authorization=None, apikey=service(server))
    same(answer.status, 201, 'an API key')


@case
def signed_tokens(server):
    token = fine(call(server, 'POST', f'/object/upload/sign/{BUCKET}/signed/one.bin')).json()['token']
    signed = Tus(server, signature=token)
    answer = signed.create(BUCKET, 'signed/one.bin', 4)
    same(answer.status, 201, 'create')
    contains(answer.headers['location'], '/storage/v1/upload/resumable/sign/', 'Location')
    told(signed.create(BUCKET, 'signed/two.bin', 4), 400, 'Invalid signature', 'another object')
    same(signed.patch(answer.path, 0, b'ab').status, 204, 'PATCH')
    same(signed.offset(answer.path), 2, 'HEAD')
    same(signed.ask('HEAD', answer.path, x_signature=None).status, 400, 'HEAD without')
    told(signed.patch(answer.path, 2, b'cd', x_signature=None), 400, 'Missing x-signature header', 'PATCH without')
    other = fine(call(server, 'POST', f'/object/upload/sign/{BUCKET}/signed/other.bin')).json()['token']
    told(signed.patch(answer.path, 2, b'cd', x_signature=other), 400, 'Invalid signature', "another object's")
    told(signed.ask('DELETE', answer.path, x_signature=other), 400, 'Invalid signature', "DELETE with another object's")
    download = fine(call(server, 'POST', f'/object/sign/{BUCKET}/there', {'expiresIn': 60})).json()['signedURL'].split('token=')[1]
    same(signed.patch(answer.path, 2, b'cd', x_signature=download).status, 400, "a download's token")
    same(signed.patch(answer.path, 2, b'cd').status, 204, 'the rest')
    same(read(server, 'signed/one.bin'), b'abcd', 'the object')
    told(signed.create(BUCKET, 'signed/one.bin', 4, x_upsert='true'), 409, 'The resource already exists', 'the token says no upsert')
    token = fine(call(server, 'POST', f'/object/upload/sign/{BUCKET}/signed/one.bin', x_upsert='true')).json()['token']
    answer = Tus(server, signature=token).create(BUCKET, 'signed/one.bin', 2, body=b'xy')
    same((answer.status, read(server, 'signed/one.bin')), (201, b'xy'), 'a token with upsert')


@case
def a_bucket_that_goes_takes_its_uploads(server):
    tus = Tus(server)
    bucket(server, 'short-lived')
    path = tus.begin('short-lived', 'x', 4)
    same(tus.patch(path, 0, b'ab').status, 204, 'PATCH')
    fine(call(server, 'DELETE', '/bucket/short-lived'))
    same(tus.patch(path, 2, b'cd').status, 404, 'PATCH without a bucket')
    bucket(server, 'short-lived')
    same(tus.patch(path, 2, b'cd').status, 404, 'PATCH to a bucket of that name')


# ---------------------------------------------------------------- connections

class Slow:
    """A PATCH whose body comes as slowly as wanted."""

    def __init__(self, server, path, offset, length):
        self.socket = socket.create_connection(('127.0.0.1', server.port), timeout=30)
        self.send(f'PATCH {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {service(server)}\r\ntus-resumable: 1.0.0\r\n'
                  f'upload-offset: {offset}\r\ncontent-type: {OFFSET_TYPE}\r\ncontent-length: {length}\r\n\r\n'.encode())

    def send(self, data):
        self.socket.sendall(data)

    def status(self):
        """Of the answer, or None where the connection just ended."""
        try:
            answer = self.socket.recv(65536)
        except OSError:
            return None
        return int(answer.split()[1]) if answer else None


@case
def a_cut_request_leaves_what_arrived(server):
    tus, data = Tus(server), pattern(2_000_000, 'cut')
    path, at = tus.begin(BUCKET, 'cut', len(data)), 0
    for until in (300_000, 300_001, 1_500_000):
        slow = Slow(server, path, at, len(data) - at)
        slow.send(data[at:until])
        all_read(slow.socket)
        slow.socket.close()
        wait_for('the bytes that arrived to be told', lambda: tus.offset(path) == until, 60)
        at = until
    same(tus.patch(path, at, data[at:]).status, 204, 'the rest')
    true(read(server, 'cut') == data, 'the object differs')


@case
def whoever_comes_back_gets_the_upload(server):
    tus, data = Tus(server), pattern(1_000_000, 'takeover')
    path = tus.begin(BUCKET, 'takeover', len(data))
    hanging = Slow(server, path, 0, len(data))   # its client is gone, and nobody told the server
    hanging.send(data[:200_000])
    all_read(hanging.socket)
    begun = time.monotonic()
    at = tus.offset(path)
    true(at <= 200_000, f'offset {at}')
    answer = tus.patch(path, at, data[at:])
    if answer.status == 409:   # what the other request had taken was recorded meanwhile
        at = tus.offset(path)
        answer = tus.patch(path, at, data[at:])
    same(answer.status, 204, f'PATCH: {answer.text}')
    true(time.monotonic() - begun < 15, 'the other request let go too late')
    true(hanging.status() in (None, 409, 423), 'the request that had to let go')
    true(read(server, 'takeover') == data, 'the object differs')


@case
def of_parallel_writers_none_damages_it(server):
    data = pattern(4_000_000, 'parallel')
    path = Tus(server).begin(BUCKET, 'parallel', len(data))
    failures = []

    def go_on():
        tus = Tus(server)
        try:
            for _ in range(200):
                at = tus.offset(path)
                if at == len(data):
                    return
                status = tus.patch(path, at, data[at:at + 250_000]).status
                if status not in (204, 409, 423):
                    failures.append(status)
                if status != 204:
                    tus.close()
            failures.append('never done')
        except Exception as error:
            failures.append(repr(error))
    threads = [threading.Thread(target=go_on) for _ in range(6)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    same(failures, [], 'failures')
    true(read(server, 'parallel') == data, 'the object differs')


@case
def refusals_come_before_the_body(server):
    tus = Tus(server)
    path = tus.begin(BUCKET, 'early', 10_000_000)
    for offset, kind, status in ((5, OFFSET_TYPE, 409), (0, 'text/plain', 400)):
        connection = socket.create_connection(('127.0.0.1', server.port), timeout=30)
        connection.sendall(f'PATCH {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {service(server)}\r\ntus-resumable: 1.0.0\r\n'
                           f'upload-offset: {offset}\r\ncontent-type: {kind}\r\ncontent-length: 10000000\r\nexpect: 100-continue\r\n\r\n'.encode())
        answer = connection.recv(65536).decode().lower()
        same(int(answer.split()[1]), status, f'offset {offset}, {kind}')
        contains(answer, 'connection: close', 'head')
        connection.close()


@case
def where_the_url_points(server):
    tus = Tus(server)
    for headers, wanted in (({}, f'http://127.0.0.1:{server.port}/storage/v1/upload'),
                            (dict(x_forwarded_host='api.example.com', x_forwarded_proto='https'), 'https://api.example.com/storage/v1/upload'),
                            (dict(x_forwarded_host='api.example.com', x_forwarded_port='8443', x_forwarded_proto='https'), 'https://api.example.com:8443/storage/v1/upload')):
        location = tus.create(BUCKET, 'where', 1, **headers).headers['location']
        true(location.startswith(wanted + '/resumable/'), f'{location} does not begin with {wanted}')
    root = Tus(server, prefix='').create(BUCKET, 'where', 1).headers['location']
    contains(root, f":{server.port}/upload/resumable/", "Location at the root")


@case
def so_many_bodies_at_a_time(server):
    with Server(env={'TUS_MAX_CONCURRENT_UPLOADS': '2', 'TUS_URL_PATH': '/tus', 'TUS_URL_EXPIRY_MS': '4000'}) as narrow:
        bucket(narrow, BUCKET)
        tus = Tus(narrow)
        tus.base = '/storage/v1/tus'
        paths = [tus.begin(BUCKET, f'k{n}', 2) for n in range(3)]
        true(all(path.startswith('/storage/v1/tus/') for path in paths), paths)
        held = [Slow(narrow, path, 0, 2) for path in paths[:2]]
        [slow.send(b'a') for slow in held]

        def refused():
            answer = tus.patch(paths[2], 0, b'ab')
            return answer if answer.status == 503 else same(answer.status, 503, 'the third')
        wait_for('both to be under way', lambda: narrow.sql('select count(*) from rowlock.rowlock_resumable where holder is not null') == '2')
        same(refused().headers['retry-after'], '1', 'when to come again')
        [slow.send(b'b') for slow in held]
        same([slow.status() for slow in held], [204, 204], 'those under way')
        same(tus.patch(paths[2], 0, b'ab').status, 204, 'the third later')
        # What nobody goes on with expires, and leaves nothing.
        gone = tus.begin(BUCKET, 'forgotten', 10)
        same(tus.patch(gone, 0, b'abc').status, 204, 'three bytes')
        wait_for('its end', lambda: tus.ask('HEAD', gone).status in (404, 410), 60)
        true(tus.patch(gone, 3, b'd').status in (404, 410), 'PATCH of what expired')


@case
def nothing_is_left_over(server):
    """Blobs are those of rows; of what was begun and not finished there are parts until it expires."""
    def strays():
        rows = server.sql("select bucket_id || '/' || name || '/' || version from storage.objects").splitlines()
        begun = server.sql('select version from rowlock.rowlock_resumable where completed_at is null').splitlines()
        return [blob for blob in server.blobs() if not any(blob.endswith(row) for row in rows) and not any(version in blob for version in begun)]
    try:
        wait_for('the blobs without a row to go', lambda: not strays(), 100, every=1)
    except Failure as failure:
        raise Failure(f'{failure}: {strays()[:5]}') from None
    true('panicked' not in server.log_path.read_text(errors='replace'), 'a handler panicked')


if __name__ == '__main__':
    try:
        with Server(env={'FILE_SIZE_LIMIT': '20000000', 'ROWLOCK_BLOB_GRACE': '1s'}) as server:
            counts = run_cases(server)
    except Failure as failure:
        print(f'FAILED server: {failure}')
        counts = (0, 1)
    finish(*counts)
