"""boto3: who may ask, by which signature, and what a refusal says."""
import datetime
import http.client
import urllib.parse

import botocore.auth
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from s3 import body, client, refused
from harness import case, contains, main, same, true
from signing import send, sign

BUCKET = 'access-bucket'
USER = '317eadce-631a-4429-a0bb-f19a7a517b4a'


def fetch(url, method='GET', data=None, headers=None):
    where = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=30)
    connection.request(method, where.path + ('?' + where.query if where.query else ''), body=data, headers=headers or {})
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    code = text.decode(errors='replace').split('<Code>')[1].split('<')[0] if b'<Code>' in text else None
    return answer.status, code, text


def presign(server, what, key='one', expires=60, token=None, **params):
    s3 = client(server, token=token, signature_version='s3v4')
    return s3.generate_presigned_url(what, Params={'Bucket': BUCKET, 'Key': key, **params}, ExpiresIn=expires)


@case
def presigned_urls_work_without_any_header(server):
    client(server).create_bucket(Bucket=BUCKET)
    same(fetch(presign(server, 'put_object', 'ü +&.txt', ContentType='text/x'), 'PUT', b'signed', {'Content-Type': 'text/x'})[0], 200, 'presigned PUT')
    same(fetch(presign(server, 'get_object', 'ü +&.txt'))[2], b'signed', 'presigned GET')
    same(fetch(presign(server, 'head_object', 'ü +&.txt'), 'HEAD')[0], 200, 'presigned HEAD')
    # A browser's fetch with an empty header must not shadow the query's signature; nor a Bearer token.
    for extra in ({'Authorization': ''}, {'Authorization': 'Bearer x.y.z'}):
        same(fetch(presign(server, 'get_object', 'ü +&.txt'), headers=extra)[2], b'signed', str(extra))
    same(fetch(presign(server, 'get_object', 'ü +&.txt', ResponseContentType='text/y'))[0], 200, 'with an override')
    same(fetch(presign(server, 'delete_object', 'ü +&.txt'), 'DELETE')[0], 204, 'presigned DELETE')


@case
def presigned_urls_are_bound_to_what_was_signed(server):
    s3 = client(server)
    s3.put_object(Bucket=BUCKET, Key='one', Body=b'one')
    s3.put_object(Bucket=BUCKET, Key='two', Body=b'two')
    url = presign(server, 'get_object')
    for changed in (url.replace('/one?', '/two?'), url.replace('X-Amz-Expires=60', 'X-Amz-Expires=61'), url + '&response-content-type=text/html', url[:-4] + ('0000' if url[-4:] != '0000' else '1111')):
        same(fetch(changed)[:2], (403, 'SignatureDoesNotMatch'), changed[len(server.endpoint):60 + len(server.endpoint)])
    same(fetch(url, 'DELETE')[0], 403, 'another method')
    same(body(s3.get_object(Bucket=BUCKET, Key='one')), b'one', 'object')


@case
def a_presigned_put_cannot_be_turned_into_a_copy(server):
    # Every x-amz-… header present must be signed, or a URL for one upload would read any object of the bucket.
    url = presign(server, 'put_object', 'target')
    status, code, _ = fetch(url, 'PUT', b'', {'x-amz-copy-source': f'/{BUCKET}/two'})
    same((status, code), (403, 'AccessDenied'), 'unsigned copy source')
    refused(lambda: client(server).head_object(Bucket=BUCKET, Key='target'), status=404)


@case
def presigned_urls_expire(server):
    request = AWSRequest('GET', f'{server.endpoint}/{BUCKET}/one')
    real, past = botocore.auth.get_current_datetime, datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=120)
    botocore.auth.get_current_datetime = lambda *_a, **_k: past
    try:
        S3SigV4QueryAuth(Credentials(server.access_key, server.secret_key), 's3', 'stub', expires=60).add_auth(request)
    finally:
        botocore.auth.get_current_datetime = real
    status, code, text = fetch(request.url)
    same((status, code), (403, 'AccessDenied'), 'expired URL')
    contains(text.decode(), 'expired', 'message')
    status, code, _ = fetch(presign(server, 'get_object', expires=604801))
    true(status in (400, 403), f'more than seven days: {status} {code}')
    same(fetch(presign(server, 'get_object', expires=604800))[0], 200, 'seven days')


@case
def both_signatures_at_once_are_refused(server):
    url = presign(server, 'get_object')
    status, code, _ = fetch(url, headers={'Authorization': 'AWS4-HMAC-SHA256 Credential=a/20260101/stub/s3/aws4_request, SignedHeaders=host, Signature=' + '0' * 64})
    same((status, code), (400, 'InvalidArgument'), 'header and query')


@case
def refusals_name_what_differs(server):
    same(refused(lambda: client(server, access_key='nobody').list_buckets(), status=403)[0], 'InvalidAccessKeyId', 'unknown key')
    code, _, message = refused(lambda: client(server, secret_key='wrong').list_buckets(), status=403)
    same(code, 'SignatureDoesNotMatch', 'wrong secret')
    same(fetch(f'{server.endpoint}/{BUCKET}/one')[:2], (403, 'AccessDenied'), 'no signature at all')
    status, code, _ = fetch(f'{server.endpoint}/{BUCKET}/one', headers={'Authorization': 'AWS4-HMAC-SHA256 nonsense'})
    true(status in (400, 403) and code, f'garbage: {status} {code}')
    for hours in (-1, 1):
        at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=hours)
        url = f'{server.endpoint}/{BUCKET}/one'
        same(send('GET', url, sign(server.access_key, server.secret_key, 'stub', 'GET', url, at=at), None), (403, 'RequestTimeTooSkewed'), f'a clock {hours} h off')


@case
def any_region_is_taken_by_default(server):
    # Users keep whatever region their tool has; the secret decides.
    for region in ('stub', 'us-east-1', 'auto', 'eu-central-1', 'mars-1'):
        client(server, region=region).list_buckets()


@case
def the_host_and_path_may_be_what_a_proxy_shows(server):
    # Signed for the public name, arriving under another: the classic SignatureDoesNotMatch behind a second proxy.
    from botocore.auth import S3SigV4Auth
    for public, headers in ((f'https://files.example.com/storage/v1/s3/{BUCKET}/one', {'X-Forwarded-Host': 'files.example.com', 'X-Forwarded-Proto': 'https'}),
                            (f'http://files.example.com:8080/storage/v1/s3/{BUCKET}/one', {'X-Forwarded-Host': 'files.example.com', 'X-Forwarded-Port': '8080'})):
        request = AWSRequest('GET', public)
        S3SigV4Auth(Credentials(server.access_key, server.secret_key), 's3', 'stub').add_auth(request)
        got = fetch(f'{server.endpoint}/{BUCKET}/one', headers={**dict(request.headers.items()), **headers})
        same(got[2], b'one', f'{public}: {got[:2]}')
    request = AWSRequest('GET', f'https://elsewhere.example.com/storage/v1/s3/{BUCKET}/one')
    S3SigV4Auth(Credentials(server.access_key, server.secret_key), 's3', 'stub').add_auth(request)
    status, code, text = fetch(f'{server.endpoint}/{BUCKET}/one', headers=dict(request.headers.items()))
    same((status, code), (403, 'SignatureDoesNotMatch'), 'a host that nobody names')
    contains(text.decode().lower(), 'host', 'the message must say what a proxy has to pass')


@case
def session_tokens_act_as_their_user(server):
    # No policy exists yet: row-level security hides everything, and allows no insert.
    mine = client(server, token=server.token(USER))
    refused(lambda: mine.get_object(Bucket=BUCKET, Key='one'), 'NoSuchKey', 404)
    refused(lambda: mine.put_object(Bucket=BUCKET, Key='mine', Body=b'x'), 'AccessDenied', 403)
    same(mine.list_objects_v2(Bucket=BUCKET).get('Contents') if bucket_is_visible(mine) else None, None, 'listing')


def bucket_is_visible(s3):
    try:
        s3.head_bucket(Bucket=BUCKET)
        return True
    except s3.exceptions.ClientError:
        return False


@case
def session_tokens_that_are_none_are_refused(server):
    good = server.token(USER)
    for token, _why in (('x.y.z', 'garbage'), (good[:-3] + ('AAA' if good[-3:] != 'AAA' else 'BBB'), 'tampered'), ('', 'empty')):
        if token:
            refused(lambda: client(server, token=token).list_objects_v2(Bucket=BUCKET), 'InvalidToken', 400)
    # Signed with another secret than the anon key, or with the static secret: neither opens anything.
    refused(lambda: client(server, token=good, secret_key='wrong').list_buckets(), 'SignatureDoesNotMatch', 403)
    status = refused(lambda: client(server, token=good, access_key=server.access_key, secret_key=server.secret_key).get_object(Bucket=BUCKET, Key='one'))[1]
    true(status in (400, 403, 404), f'static key with a token: {status}')
    expired = server.command('token', '--role', 'authenticated', '--sub', USER, '--expires', '1s')
    import time
    time.sleep(2.1)
    refused(lambda: client(server, token=expired).list_objects_v2(Bucket=BUCKET), 'ExpiredToken', 400)


@case
def presigned_urls_carry_session_tokens(server):
    status, code, _ = fetch(presign(server, 'get_object', token=server.token(USER)))
    same((status, code), (404, 'NoSuchKey'), 'a row that the user may not see')
    status, code, text = fetch(presign(server, 'get_object', token=server.keys['SERVICE_ROLE_KEY']))
    same((status, text), (200, b'one'), f'the service role sees all ({code})')


if __name__ == '__main__':
    main()
