"""Browser forms: policies that boto3 signs, sent by requests as a browser sends them; every condition, every answer, and what must not pass."""
import base64
import hashlib
import hmac
import json
import socket
import urllib.parse

import requests

from s3 import body, client, pattern, refused
from harness import case, contains, main, same, true

BUCKET = 'forms-bucket'
DATA = pattern(200_000, 'form')


def presigned(s3, key='u/${filename}', fields=None, conditions=None, expires=600):
    return s3.generate_presigned_post(BUCKET, key, Fields=fields, Conditions=conditions, ExpiresIn=expires)


def send(form, data=DATA, name='me.txt', fields=None, kind='text/plain', **more):
    """Sends a form; returns (status, error code, answer)."""
    answer = requests.post(form['url'], data={**form['fields'], **(fields or {})}, files={'file': (name, data, kind)}, allow_redirects=False, timeout=30, **more)
    code = answer.text.split('<Code>')[1].split('<')[0] if '<Code>' in answer.text else None
    return answer.status_code, code, answer


def absent(s3, key):
    refused(lambda: s3.head_object(Bucket=BUCKET, Key=key), status=404)


@case
def a_form_uploads_its_file(server):
    s3 = client(server)
    s3.create_bucket(Bucket=BUCKET)
    status, _, answer = send(presigned(s3))
    same((status, answer.content), (204, b''), 'without a wish')
    same(answer.headers['etag'], '"' + hashlib.md5(DATA).hexdigest() + '"', 'ETag')
    true(answer.headers['location'].endswith(f'/{BUCKET}/u/me.txt'), f'Location {answer.headers["location"]}')
    true(body(s3.get_object(Bucket=BUCKET, Key='u/me.txt')) == DATA, 'bytes differ')
    same(send(presigned(s3), b'')[0], 204, 'an empty file')
    same(s3.head_object(Bucket=BUCKET, Key='u/me.txt')['ContentLength'], 0, 'length')
    large = pattern(3 * 1024 * 1024, 'large form')
    same(send(presigned(s3, 'large'), large)[0], 204, 'a large file')
    true(body(s3.get_object(Bucket=BUCKET, Key='large')) == large, 'bytes of the large file differ')


@case
def the_form_decides_on_the_answer(server):
    s3 = client(server)
    for status in ('200', '201', '204'):
        form = presigned(s3, 'a b', {'success_action_status': status}, [{'success_action_status': status}])
        got, _, answer = send(form)
        same(got, int(status), 'status')
        if status == '201':
            for part in (f'<Bucket>{BUCKET}</Bucket>', '<Key>a b</Key>', '<ETag>', f'/{BUCKET}/a%20b</Location>'):
                contains(answer.text, part, 'document')
    url = 'https://example.com/done?x=1'
    got, _, answer = send(presigned(s3, 'a b', {'success_action_redirect': url}, [{'success_action_redirect': url}]))
    same(got, 303, 'redirect')
    target = urllib.parse.urlsplit(answer.headers['location'])
    same(urllib.parse.parse_qs(target.query), {'x': ['1'], 'bucket': [BUCKET], 'key': ['a b'], 'etag': ['"' + hashlib.md5(DATA).hexdigest() + '"']}, 'query of the redirect')


@case
def what_describes_the_object_is_kept(server):
    s3 = client(server)
    tags = '<Tagging><TagSet><Tag><Key>a</Key><Value>b c</Value></Tag></TagSet></Tagging>'
    fields = {'Content-Type': 'image/png', 'Cache-Control': 'max-age=9', 'Content-Disposition': 'inline', 'x-amz-meta-colour': 'röt', 'tagging': tags, 'acl': 'private', 'x-amz-storage-class': 'STANDARD'}
    form = presigned(s3, 'described', fields, [{k: v} for k, v in fields.items()])
    same(send(form)[0], 204, 'status')
    head = s3.head_object(Bucket=BUCKET, Key='described')
    same((head['ContentType'], head['CacheControl'], head['ContentDisposition'], head['TagCount']), ('image/png', 'max-age=9', 'inline', 1), 'headers')
    same(head['Metadata'], {'colour': '=?UTF-8?B?csO2dA==?='}, 'metadata')
    same(s3.get_object_tagging(Bucket=BUCKET, Key='described')['TagSet'], [{'Key': 'a', 'Value': 'b c'}], 'tags')
    form = presigned(s3, 'acl', {'acl': 'public-read'}, [{'acl': 'public-read'}])
    same(send(form)[:2], (400, 'AccessControlListNotSupported'), 'an ACL')
    absent(s3, 'acl')


@case
def conditions_bind(server):
    s3 = client(server)
    starts = [['starts-with', '$Content-Type', 'image/'], ['starts-with', '$key', 'user/']]
    make = lambda kind: presigned(s3, 'user/x', {'Content-Type': kind}, starts)
    same(send(make('image/png'))[0], 204, 'starts-with')
    same(send(make('text/html'))[:2], (403, 'AccessDenied'), 'another type')
    form = make('image/png')
    same(send(form, fields={'key': 'other/x'})[:2], (403, 'AccessDenied'), 'another key')
    same(send(form, fields={'x-amz-meta-new': '1'})[:2], (403, 'AccessDenied'), 'a field without a condition')
    same(send(form, fields={'x-ignore-new': '1'})[0], 204, 'a field to ignore')
    other = {**form, 'url': form['url'].replace(BUCKET, 'another-bucket')}
    client(server).create_bucket(Bucket='another-bucket')
    same(send(other)[:2], (403, 'AccessDenied'), 'another bucket')
    exact = presigned(s3, 'eq', {'x-amz-meta-a': '1'}, [['eq', '$x-amz-meta-a', '1']])
    same(send(exact)[0], 204, 'eq')
    same(send(exact, fields={'x-amz-meta-a': '2'})[:2], (403, 'AccessDenied'), 'eq broken')


@case
def sizes_have_limits(server):
    s3 = client(server)
    form = presigned(s3, 'sized', conditions=[['content-length-range', 10, 1000]])
    for size, want in ((10, (204, None)), (1000, (204, None)), (9, (400, 'EntityTooSmall')), (1001, (400, 'EntityTooLarge')), (5_000_000, (400, 'EntityTooLarge'))):
        s3.delete_object(Bucket=BUCKET, Key='sized')
        same(send(form, b'x' * size)[:2], want, f'{size} bytes')
        if want[1]:
            absent(s3, 'sized')
    same(send(presigned(s3, 'sized', {'x-ignore-a': 'x' * 30_000}))[:2], (400, 'MaxPostPreDataLengthExceededError'), 'too much before the file')


@case
def forms_end(server):
    s3 = client(server)
    form = presigned(s3, 'late')
    policy = json.loads(base64.b64decode(form['fields']['policy']))
    policy['expiration'] = '2020-01-01T00:00:00Z'
    text = base64.b64encode(json.dumps(policy).encode()).decode()
    key = ('AWS4' + server.secret_key).encode()
    for part in (form['fields']['x-amz-date'][:8], s3.meta.region_name, 's3', 'aws4_request'):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    status, code, answer = send(form, fields={'policy': text, 'x-amz-signature': signature})
    same((status, code), (403, 'AccessDenied'), 'expired')
    contains(answer.text, 'Policy expired', 'message')
    absent(s3, 'late')


@case
def forms_that_nobody_signed_are_refused(server):
    s3 = client(server)
    form = presigned(s3, 'forged')
    policy = base64.b64encode(base64.b64decode(form['fields']['policy']).replace(b'forged', b'stolen')).decode()
    for name, fields, want in (
            ('no signature', {'x-amz-signature': ''}, (403, 'SignatureDoesNotMatch')), ('another policy', {'policy': policy}, (403, 'SignatureDoesNotMatch')),
            ('unknown key', {'x-amz-credential': form['fields']['x-amz-credential'].replace(server.access_key, 'nobody')}, (403, 'InvalidAccessKeyId')),
            ('another algorithm', {'x-amz-algorithm': 'AWS4-ECDSA-P256-SHA256'}, (501, 'NotImplemented'))):
        same(send(form, fields=fields)[:2], want, name)
    bare = {'url': form['url'], 'fields': {'key': 'forged'}}
    same(send(bare)[:2], (403, 'AccessDenied'), 'no policy at all')
    missing = {**form, 'fields': {k: v for k, v in form['fields'].items() if k != 'x-amz-date'}}
    same(send(missing)[:2], (400, 'InvalidArgument'), 'a field of the signature is missing')
    answer = requests.post(form['url'], data=form['fields'], files={'other': ('x', b'x')}, timeout=30)
    same(answer.status_code, 400, 'no file')
    answer = requests.post(form['url'], data=b'no form', headers={'content-type': 'multipart/form-data; boundary=x'}, timeout=30)
    same(answer.status_code, 400, 'no form')
    # Both values: the policy must not judge one while the object gets the other.
    twice = requests.post(form['url'], files=[*((k, (None, v)) for k, v in form['fields'].items()), ('key', (None, 'elsewhere')), ('file', ('x', b'x'))], timeout=30)
    same(twice.status_code, 400, 'a field twice')
    for key in ('forged', 'stolen', 'elsewhere'):
        absent(s3, key)


@case
def a_form_that_is_cut_stores_nothing(server):
    s3 = client(server)
    form = presigned(s3, 'cut')
    request = requests.Request('POST', form['url'], data=form['fields'], files={'file': ('x', DATA)}).prepare()
    where = urllib.parse.urlsplit(form['url'])
    with socket.create_connection((where.hostname, where.port)) as raw:
        head = f'POST {where.path} HTTP/1.1\r\nhost: {where.netloc}\r\n' + ''.join(f'{k}: {v}\r\n' for k, v in request.headers.items()) + '\r\n'
        raw.sendall(head.encode() + request.body[:100_000])
    s3.head_bucket(Bucket=BUCKET)
    absent(s3, 'cut')


@case
def session_tokens_sign_forms_too(server):
    # The policies of who signed decide; the operation is an upload.
    server.sql("CREATE POLICY forms ON storage.objects FOR ALL TO authenticated USING (bucket_id = 'forms-bucket' "
               "AND name LIKE 'mine/' || auth.uid()::text || '/%' AND storage.operation() = 'storage.s3.upload')")
    who = '317eadce-631a-4429-a0bb-f19a7a517b4a'
    theirs = client(server, token=server.token(who))
    same(send(presigned(theirs, f'mine/{who}/x'))[0], 204, 'where the policy allows it')
    same(server.sql(f"SELECT owner_id FROM storage.objects WHERE name = 'mine/{who}/x'"), who, 'owner')
    same(send(presigned(theirs, 'mine/other/x'))[:2], (403, 'AccessDenied'), 'where it does not')
    form = presigned(theirs, f'mine/{who}/y')
    without = {**form, 'fields': {k: v for k, v in form['fields'].items() if k != 'x-amz-security-token'}}
    status, code, _ = send(without)
    true(status == 403, f'without its token: {status} {code}')


if __name__ == '__main__':
    main()
