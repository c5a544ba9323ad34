"""Every refusal that AWS documents and that can be provoked, by hand-signed requests on one kept connection: status, code, the
elements that AWS puts beside it, the two ids in body and headers, and that the connection goes on where the body was read.

https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
"""
import base64
import datetime
import hashlib
import hmac
import http.client
import json
import re
import socket
import urllib.parse

from s3 import body, client
from harness import Failure, case, contains, main, same, true
from signing import sign, signing_key

BUCKET = 'errors-bucket'
DATA = b'0123456789'
NOW = datetime.datetime.now
UTC = datetime.timezone.utc
MISSING_UPLOAD = '019aa000-0000-7000-8000-000000000000'


class Answer:
    def __init__(self, answer, text):
        self.status, self.headers, self.text = answer.status, answer.headers, text
        self.all = re.findall(r'<([A-Za-z0-9-]+)>([^<]*)</\1>', text.decode(errors='replace'))
        self.elements = dict(reversed(self.all))
        self.code = self.elements.get('Code')


class Wire:
    """Signs by hand on one connection; a request that finds it closed is a failure where `kept` says so."""

    def __init__(self, server):
        self.server, self.base = server, urllib.parse.urlsplit(server.endpoint)
        self.connection = http.client.HTTPConnection(self.base.hostname, self.base.port, timeout=30)

    def target(self, path, query):
        pairs = sorted((urllib.parse.quote(k, safe='-_.~'), urllib.parse.quote(v, safe='-_.~')) for k, v in query)
        return self.base.path + urllib.parse.quote(path, safe='/-_.~%') + ('?' + '&'.join(f'{k}={v}' for k, v in pairs) if pairs else '')

    def __call__(self, method, path, *query, data=b'', headers=None, payload='UNSIGNED-PAYLOAD', at=None, spoil=None):
        target = self.target(path, query)
        signed = sign(self.server.access_key, self.server.secret_key, self.server.region, method, f'http://{self.base.netloc}{target}', payload, headers, at)
        if spoil:
            signed = spoil(signed)
        return self.send(method, target, signed, data)

    def send(self, method, target, headers, data=b''):
        self.connection.request(method, target, body=data, headers=headers)
        answer = self.connection.getresponse()
        return Answer(answer, answer.read())

    def presigned(self, method, path, expires='60', at=None, leave_out=(), **replaced):
        """A URL signed by hand, so that it may be wrong in any way. Returns the target."""
        stamp = (at or NOW(UTC)).strftime('%Y%m%dT%H%M%SZ')
        scope = f'{stamp[:8]}/{self.server.region}/s3/aws4_request'
        query = {'X-Amz-Algorithm': 'AWS4-HMAC-SHA256', 'X-Amz-Credential': f'{self.server.access_key}/{scope}', 'X-Amz-Date': stamp,
                 'X-Amz-Expires': expires, 'X-Amz-SignedHeaders': 'host', **{k.replace('_', '-'): v for k, v in replaced.items()}}
        target = self.target(path, [(k, v) for k, v in query.items() if k not in leave_out])
        where, raw = target.split('?')
        canonical = '\n'.join([method, where, raw, f'host:{self.base.netloc}', '', 'host', 'UNSIGNED-PAYLOAD'])
        text = '\n'.join(['AWS4-HMAC-SHA256', stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        made = hmac.new(signing_key(self.server.secret_key, stamp[:8], self.server.region), text.encode(), hashlib.sha256).hexdigest()
        return target + ('' if 'X-Amz-Signature' in leave_out else f'&X-Amz-Signature={made}')


WIRE = []


def wire(server):
    if not WIRE:
        WIRE.append(Wire(server))
        s3 = client(server)
        s3.create_bucket(Bucket=BUCKET)
        s3.put_object(Bucket=BUCKET, Key='k', Body=DATA)
    return WIRE[0]


def refused(answer, status, code, what='', **elements):
    """The answer must be this error, whole: and its ids must be those of its headers."""
    same((answer.status, answer.code), (status, code), f'{what} {answer.elements.get("Message")}')
    same(answer.elements.get('RequestId'), answer.headers['x-amz-request-id'], f'{what}: RequestId')
    same(answer.elements.get('HostId'), answer.headers['x-amz-id-2'], f'{what}: HostId')
    same(answer.headers['content-type'].split(';')[0], 'application/xml', f'{what}: type')
    true(b'xmlns' not in answer.text and answer.elements.get('Message'), f'{what}: {answer.text!r}')
    for name, value in elements.items():
        got = answer.elements.get(name.replace('_', '-'))
        true(got is not None and (value is ... or got == value), f'{what}: {name} is {got!r}, want {value!r}: {answer.text!r}')
    return answer


@case
def clocks_and_dates_in_headers(server):
    ask = wire(server)
    for minutes in (-16, 16):
        at = NOW(UTC) + datetime.timedelta(minutes=minutes)
        refused(ask('GET', f'/{BUCKET}/k', at=at), 403, 'RequestTimeTooSkewed', f'{minutes} min', RequestTime=at.strftime('%Y%m%dT%H%M%SZ'), ServerTime=...,
                MaxAllowedSkewMilliseconds='900000')
        same(ask('GET', f'/{BUCKET}/k', at=NOW(UTC) + datetime.timedelta(minutes=minutes * 14 // 16)).status, 200, 'within fifteen minutes')
    for date in ('yesterday', '20261124', '2026-11-24T00:00:00Z', ''):
        answer = ask('GET', f'/{BUCKET}/k', spoil=lambda signed, date=date: {**signed, 'x-amz-date': date})
        refused(answer, 403, 'AccessDenied', f'date {date!r}')
    without = ask('GET', f'/{BUCKET}/k', spoil=lambda signed: {k: v for k, v in signed.items() if k != 'x-amz-date'})
    refused(without, 403, 'AccessDenied', 'no date')
    other_day = ask('GET', f'/{BUCKET}/k', spoil=lambda signed: {**signed, 'authorization': re.sub(r'/\d{8}/', '/20200101/', signed['authorization'])})
    refused(other_day, 400, 'AuthorizationHeaderMalformed', 'scope of another day')
    service = ask('GET', f'/{BUCKET}/k', spoil=lambda signed: {**signed, 'authorization': signed['authorization'].replace('/s3/', '/sqs/')})
    refused(service, 400, 'AuthorizationHeaderMalformed', 'another service')


@case
def presigned_urls(server):
    ask = wire(server)
    get = lambda **how: ask.send('GET', ask.presigned('GET', f'/{BUCKET}/k', **how), {})
    same(get().status, 200, 'a good one')
    hour = datetime.timedelta(hours=1)
    expired = refused(get(at=NOW(UTC) - hour), 403, 'AccessDenied', 'expired', X_Amz_Expires='60', Expires=..., ServerTime=...)
    contains(expired.elements['Message'], 'Request has expired')
    early = refused(get(at=NOW(UTC) + hour, expires='604800'), 403, 'AccessDenied', 'of the future')
    contains(early.elements['Message'], 'Request is not yet valid')
    same(get(expires='604800').status, 200, 'a week')
    for wrong in ('604801', '-1', 'abc', '', '1.5', '99999999999999999999'):
        refused(get(expires=wrong), 400, 'AuthorizationQueryParametersError', f'X-Amz-Expires={wrong}')
    for name in ('X-Amz-Algorithm', 'X-Amz-Credential', 'X-Amz-Date', 'X-Amz-Expires', 'X-Amz-SignedHeaders', 'X-Amz-Signature'):
        refused(get(leave_out=(name,)), 400, 'AuthorizationQueryParametersError', f'without {name}')
    refused(get(X_Amz_Date='soon'), 400, 'AuthorizationQueryParametersError', 'X-Amz-Date')
    refused(get(X_Amz_Credential='nonsense'), 400, 'AuthorizationQueryParametersError', 'X-Amz-Credential')
    refused(get(X_Amz_Algorithm='AWS4-HMAC-SHA1'), 501, 'NotImplemented', 'X-Amz-Algorithm')
    refused(ask.send('PUT', ask.presigned('GET', f'/{BUCKET}/k'), {}, b'x'), 403, 'SignatureDoesNotMatch', 'another method')
    refused(ask.send('GET', f'{ask.base.path}/{BUCKET}/k', {}), 403, 'AccessDenied', 'no signature')


@case
def session_tokens(server):
    import time
    expired = server.command('token', '--role', 'authenticated', '--sub', MISSING_UPLOAD, '--expires', '1s')
    good = server.token(MISSING_UPLOAD)
    head, claims, signature = good.split('.')
    forged = base64.urlsafe_b64encode(b'{"role":"service_role"}').decode().rstrip('=')
    time.sleep(2.1)
    for token, code, words in ((expired, 'ExpiredToken', 'expired'), ('nonsense', 'InvalidToken', 'no JSON Web Token'), ('a.b.c', 'InvalidToken', 'no JSON Web Token'),
                               (f'{head}.{forged}.{signature}', 'InvalidToken', 'not signed')):
        try:
            client(server, token=token).list_objects_v2(Bucket=BUCKET)
        except client(server).exceptions.ClientError as error:
            answer = error.response
            same((answer['ResponseMetadata']['HTTPStatusCode'], answer['Error']['Code']), (400, code), words)
            contains(answer['Error']['Message'], words)
            true(token not in str(answer) and server.keys['ANON_KEY'] not in str(answer), 'the answer repeats a token')
        else:
            raise Failure(f'{words}: it was let in')


@case
def what_is_not_there(server):
    ask = wire(server)
    refused(ask('GET', f'/{BUCKET}/none'), 404, 'NoSuchKey', Key='none', Resource=f'/{BUCKET}/none')
    for method, path, query in (('GET', '/no-such-bucket/k', ()), ('PUT', '/no-such-bucket/k', ()), ('DELETE', '/no-such-bucket', ()), ('GET', '/no-such-bucket', (('list-type', '2'),)),
                                ('GET', '/no-such-bucket', (('uploads', ''),)), ('POST', '/no-such-bucket/k', (('uploads', ''),)), ('GET', '/no-such-bucket', (('location', ''),))):
        refused(ask(method, path, *query), 404, 'NoSuchBucket', f'{method} {query}', BucketName='no-such-bucket')
    for method, query in (('PUT', [('partNumber', '1')]), ('POST', []), ('DELETE', []), ('GET', [])):
        for upload in (MISSING_UPLOAD, 'nonsense', 'a/../b'):
            data = b'<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>x</ETag></Part></CompleteMultipartUpload>'
            refused(ask(method, f'/{BUCKET}/k', ('uploadId', upload), *query, data=data), 404, 'NoSuchUpload', method, UploadId=upload)
    same(ask('DELETE', f'/{BUCKET}/none').status, 204, 'DELETE of nothing')
    for version, status in (('null', 200), ('3HL4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY', 404)):
        same(ask('GET', f'/{BUCKET}/k', ('versionId', version)).status, status, f'version {version}')
    refused(ask('GET', f'/{BUCKET}/k', ('versionId', 'x')), 404, 'NoSuchVersion', VersionId='x')


@case
def an_answer_to_head_has_no_body(server):
    ask = wire(server)
    raw = socket.create_connection((ask.base.hostname, ask.base.port), timeout=30)
    reader = raw.makefile('rb')
    for path, status, headers in ((f'/{BUCKET}/none', 404, {}), (f'/{BUCKET}/k', 416, {'range': 'bytes=99-'}), (f'/{BUCKET}/k', 412, {'if-match': '"x"'}), (f'/{BUCKET}/k', 200, {})):
        target = ask.target(path, ())
        signed = sign(server.access_key, server.secret_key, server.region, 'HEAD', f'http://{ask.base.netloc}{target}', headers=headers)
        raw.sendall((f'HEAD {target} HTTP/1.1\r\n' + ''.join(f'{k}: {v}\r\n' for k, v in signed.items()) + '\r\n').encode())
        line = reader.readline()
        same(line.split()[1], str(status).encode(), path)
        got = {}
        while (line := reader.readline().strip()):
            name, value = line.decode().split(':', 1)
            got[name.lower()] = value.strip()
        true(got.get('x-amz-request-id') and got.get('x-amz-id-2'), f'ids: {got}')
        # Any byte of a body would now stand before the next answer.
    raw.close()


@case
def sizes_of_keys_and_metadata(server):
    ask = wire(server)
    same(ask('PUT', f'/{BUCKET}/' + 'k' * 1024, data=b'x').status, 200, '1,024 bytes')
    for method in ('PUT', 'GET', 'DELETE'):
        refused(ask(method, f'/{BUCKET}/' + 'k' * 1025), 400, 'KeyTooLongError', method, Size='1025', MaxSizeAllowed='1024')
    refused(ask('PUT', f'/{BUCKET}/' + '%C3%BC' * 513), 400, 'KeyTooLongError', 'bytes count, not characters', Size='1026')
    refused(ask('POST', f'/{BUCKET}/' + 'k' * 1025, ('uploads', '')), 400, 'KeyTooLongError', 'CreateMultipartUpload')
    same(ask('PUT', f'/{BUCKET}/meta', data=b'x', headers={'x-amz-meta-a': 'v' * 2047}).status, 200, '2 KB of metadata')
    for headers, size in (({'x-amz-meta-a': 'v' * 2048}, 2049), ({f'x-amz-meta-{n}': 'v' * 100 for n in range(30)}, None)):
        answer = refused(ask('PUT', f'/{BUCKET}/meta', data=b'x', headers=headers), 400, 'MetadataTooLarge', Size=..., MaxSizeAllowed='2048')
        if size:
            same(answer.elements['Size'], str(size), 'Size')
    # Beyond what a head may have at all no operation is reached.
    for method, query, headers in (('GET', (), {'x-other': 'v' * 66_000}), ('HEAD', (), {'x-other': 'v' * 66_000}), ('PUT', (), {'x-amz-meta-a': 'v' * 100_000}),
                                   ('GET', [('x-id', 'v' * 60_000)], {'x-other': 'v' * 6000})):
        if method == 'HEAD':
            same(ask(method, f'/{BUCKET}/meta', headers=headers).status, 400, 'HEAD with a long head')
        else:
            refused(ask(method, f'/{BUCKET}/meta', *query, headers=headers), 400, 'RequestHeaderSectionTooLarge', f'{method} with a long head', MaxSizeAllowed='65536')
    # Twice that is too much even for words.
    for long in (140_000, 300_000):
        ask.connection.close()
        same(ask('GET', f'/{BUCKET}/meta', headers={'x-other': 'v' * long}).status, 431, f'a head of {long} bytes')
    ask.connection.close()
    rest = http.client.HTTPConnection('127.0.0.1', server.port, timeout=30)
    rest.request('GET', f'/storage/v1/object/public/{BUCKET}/meta', headers={'x-other': 'v' * 70_000})
    answer = rest.getresponse()
    same((answer.status, json.loads(answer.read())['statusCode']), (431, '431'), 'a long head for REST')
    rest.close()
    same(ask('GET', f'/{BUCKET}/meta', headers={'x-other': 'v' * 60_000}).status, 200, 'a head of 60 KB')


@case
def numbers_in_queries(server):
    ask = wire(server)
    upload = client(server).create_multipart_upload(Bucket=BUCKET, Key='u')['UploadId']
    lists = (('', [('list-type', '2')], 'max-keys'), ('', [], 'max-keys'), ('', [('versions', '')], 'max-keys'), ('', [('uploads', '')], 'max-uploads'),
             ('/u', [('uploadId', upload)], 'max-parts'), ('/u', [('uploadId', upload)], 'part-number-marker'))
    for path, query, name in lists:
        for wrong in ('abc', '-1', '1.5', '2147483648', ' 1'):
            refused(ask('GET', f'/{BUCKET}{path}', *query, (name, wrong)), 400, 'InvalidArgument', f'{query} {name}={wrong}', ArgumentName=name, ArgumentValue=wrong)
        for most in ('1000', '1001', '2147483647'):
            answer = ask('GET', f'/{BUCKET}{path}', *query, (name, most))
            same(answer.status, 200, f'{name}={most}')
            shown = {'max-keys': 'MaxKeys', 'max-uploads': 'MaxUploads', 'max-parts': 'MaxParts'}.get(name)
            if shown:
                same(answer.elements[shown], '1000', f'{query} {name}={most}')
        if name != 'part-number-marker':
            refused(ask('GET', f'/{BUCKET}{path}', *query, ('encoding-type', 'base64')), 400, 'InvalidArgument', f'{query}', ArgumentName='encoding-type', ArgumentValue='base64')
    for token in ('garbage', '', 'bDo', base64.b64encode(b'\xff\xfe').decode()):
        refused(ask('GET', f'/{BUCKET}', ('list-type', '2'), ('continuation-token', token)), 400, 'InvalidArgument', f'token {token!r}', ArgumentName='continuation-token')
    refused(ask('GET', f'/{BUCKET}', ('list-type', '3')), 400, 'InvalidArgument', ArgumentName='list-type')
    refused(ask('GET', f'/{BUCKET}', ('versions', ''), ('version-id-marker', 'x')), 400, 'InvalidArgument', ArgumentName='version-id-marker')
    for number in ('0', '10001', '-1', 'x', ''):
        refused(ask('PUT', f'/{BUCKET}/u', ('partNumber', number), ('uploadId', upload), data=b'x'), 400, 'InvalidArgument', f'part {number!r}', ArgumentName='partNumber')
    same(ask('PUT', f'/{BUCKET}/u', ('partNumber', '10000'), ('uploadId', upload), data=b'x').status, 200, 'part 10,000')
    refused(ask('GET', f'/{BUCKET}/k', ('partNumber', '0')), 400, 'InvalidArgument', ArgumentName='partNumber')
    refused(ask('GET', f'/{BUCKET}/k', ('partNumber', '2')), 416, 'InvalidPartNumber', PartNumberRequested='2', ActualPartCount='1')
    refused(ask('GET', f'/{BUCKET}/k', ('partNumber', '1'), headers={'range': 'bytes=0-1'}), 400, 'InvalidRequest')
    client(server).abort_multipart_upload(Bucket=BUCKET, Key='u', UploadId=upload)


@case
def documents(server):
    ask = wire(server)
    upload = client(server).create_multipart_upload(Bucket=BUCKET, Key='u')['UploadId']
    keys = lambda count: '<Delete>' + ''.join(f'<Object><Key>d{n}</Key></Object>' for n in range(count)) + '</Delete>'
    part = '<Part><PartNumber>{}</PartNumber><ETag>x</ETag></Part>'
    parts = lambda *numbers: '<CompleteMultipartUpload>' + ''.join(part.format(n) for n in numbers) + '</CompleteMultipartUpload>'
    places = {'Delete': ('POST', f'/{BUCKET}', ('delete', '')), 'CompleteMultipartUpload': ('POST', f'/{BUCKET}/u', ('uploadId', upload)), 'Tagging': ('PUT', f'/{BUCKET}/k', ('tagging', ''))}
    sent = lambda root, text: ask(*places[root], data=text.encode() if isinstance(text, str) else text)
    for root in places:
        for name, text in (('nothing', ''), ('no XML', 'x=1'), ('cut', f'<{root}'), ('another root', '<Other/>'), ('two roots', f'<{root}/><{root}/>'), ('deep', f'<{root}>' + '<a>' * 1000 + '</a>' * 1000 + f'</{root}>'),
                           ('an entity', f'<!DOCTYPE a [<!ENTITY b "c">]><{root}>&b;</{root}>'), ('no UTF-8', f'<{root}>'.encode() + b'\xff' + f'</{root}>'.encode()),
                           ('empty', f'<{root}/>'), ('too many elements', f'<{root}>' + '<a/>' * 100_001 + f'</{root}>')):
            refused(sent(root, text), 400, 'MalformedXML', f'{root}: {name}')
    same(sent('Delete', keys(1000)).status, 200, '1,000 keys')
    refused(sent('Delete', keys(1001)), 400, 'MalformedXML', '1,001 keys')
    refused(sent('CompleteMultipartUpload', parts(*range(1, 10_002))), 400, 'MalformedXML', '10,001 parts')
    refused(sent('CompleteMultipartUpload', parts(*range(1, 10_001))), 400, 'InvalidPart', '10,000 parts', PartNumber='1')
    refused(sent('CompleteMultipartUpload', parts(2, 1)), 400, 'InvalidPartOrder')
    refused(sent('CompleteMultipartUpload', parts(1, 1)), 400, 'InvalidPartOrder', 'twice')
    for number in ('0', '10001'):
        refused(sent('CompleteMultipartUpload', parts(number)), 400, 'InvalidArgument', f'part {number}')
    loud = sent('Delete', '<Delete><Object><Key>d1</Key></Object><Object><Key>d2</Key><VersionId>x</VersionId></Object></Delete>')
    same(([v for k, v in loud.all if k == 'Key'], [v for k, v in loud.all if k == 'Code']), (['d1', 'd2'], ['NoSuchVersion']), loud.text)
    quiet = sent('Delete', '<Delete><Quiet>true</Quiet><Object><Key>d1</Key></Object><Object><Key>d2</Key><VersionId>x</VersionId></Object></Delete>')
    same([v for k, v in quiet.all if k == 'Key'], ['d2'], quiet.text)
    wrong = base64.b64encode(hashlib.md5(b'x').digest()).decode()
    refused(ask(*places['Delete'], data=keys(1).encode(), headers={'content-md5': wrong}), 400, 'BadDigest', 'DeleteObjects')
    client(server).abort_multipart_upload(Bucket=BUCKET, Key='u', UploadId=upload)


@case
def parts_and_their_sum(server):
    s3, ask = client(server), wire(server)
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key='u')['UploadId']
    tags = [s3.upload_part(Bucket=BUCKET, Key='u', UploadId=upload, PartNumber=n, Body=DATA)['ETag'] for n in (1, 2)]
    done = lambda *named: ask('POST', f'/{BUCKET}/u', ('uploadId', upload), data=('<CompleteMultipartUpload>' + ''.join(
        f'<Part><PartNumber>{n}</PartNumber><ETag>{tag}</ETag></Part>' for n, tag in named) + '</CompleteMultipartUpload>').encode())
    refused(done((1, tags[0]), (2, tags[1])), 400, 'EntityTooSmall', ProposedSize='10', MinSizeAllowed='5242880', PartNumber='1', ETag=...)
    refused(done((1, '"0123"')), 400, 'InvalidPart', PartNumber='1')
    refused(done((3, tags[0])), 400, 'InvalidPart', PartNumber='3')
    server.sql(f"update storage.buckets set file_size_limit = 25 where id = '{BUCKET}'")
    over = ask('PUT', f'/{BUCKET}/u', ('partNumber', '3'), ('uploadId', upload), data=b'123456')
    refused(over, 400, 'EntityTooLarge', 'the part that is too many', ProposedSize='26', MaxSizeAllowed='25')
    contains(over.elements['Message'], 'bucket')
    same(ask('PUT', f'/{BUCKET}/u', ('partNumber', '3'), ('uploadId', upload), data=b'12345').status, 200, 'the rest')
    refused(ask('PUT', f'/{BUCKET}/large', data=b'x' * 26), 400, 'EntityTooLarge', 'an object', ProposedSize='26', MaxSizeAllowed='25')
    server.sql(f"update storage.buckets set file_size_limit = null where id = '{BUCKET}'")
    s3.abort_multipart_upload(Bucket=BUCKET, Key='u', UploadId=upload)


@case
def ranges(server):
    ask = wire(server)
    get = lambda text: ask('GET', f'/{BUCKET}/k', headers={'range': text})
    for text, wanted in (('bytes=0-0', b'0'), ('bytes=9-', b'9'), ('bytes=-3', b'789'), ('bytes=5-99', b'56789'), ('bytes=-99', DATA), ('bytes= 1-2', b'12'), ('BYTES=1-2', b'12')):
        answer = get(text)
        same((answer.status, answer.text), (206, wanted), text)
    # What is no range is ignored (RFC 9110, 14.2), and several are answered with the whole object.
    for text in ('bytes', 'bytes=', 'bytes=x-y', 'bytes=5-2', 'lines=0-1', 'bytes=0-1,3-4', 'bytes=--1', 'bytes=1'):
        answer = get(text)
        same((answer.status, answer.text), (200, DATA), text)
    for text in ('bytes=10-', 'bytes=10-11', 'bytes=99999999999999999999-', 'bytes=-0'):
        answer = refused(get(text), 416, 'InvalidRange', text, RangeRequested=text, ActualObjectSize='10')
        same(answer.headers['content-range'], 'bytes */10', text)
    client(server).put_object(Bucket=BUCKET, Key='empty', Body=b'')
    for text in ('bytes=0-', 'bytes=-1'):
        refused(ask('GET', f'/{BUCKET}/empty', headers={'range': text}), 416, 'InvalidRange', f'{text} of nothing', ActualObjectSize='0')
    upload = client(server).create_multipart_upload(Bucket=BUCKET, Key='u')['UploadId']
    copy = lambda text: ask('PUT', f'/{BUCKET}/u', ('partNumber', '1'), ('uploadId', upload), headers={'x-amz-copy-source': f'/{BUCKET}/k', 'x-amz-copy-source-range': text})
    for text in ('bytes=0-', 'bytes=-1', '0-1', 'bytes=x-y', 'bytes=0-1,3-4'):
        refused(copy(text), 400, 'InvalidArgument', text, ArgumentName='x-amz-copy-source-range')
    refused(copy('bytes=0-10'), 416, 'InvalidRange', 'beyond the source')
    client(server).abort_multipart_upload(Bucket=BUCKET, Key='u', UploadId=upload)


@case
def conditions_and_their_precedence(server):
    ask = wire(server)
    head = client(server).head_object(Bucket=BUCKET, Key='k')
    tag, when = head['ETag'], head['LastModified']
    stamp = lambda seconds: (when + datetime.timedelta(seconds=seconds)).strftime('%a, %d %b %Y %H:%M:%S GMT')
    before, after = stamp(-10), stamp(10)
    # (if-match, if-none-match, if-modified-since, if-unmodified-since): what a read answers
    for values, status, condition in (
            ((tag, None, None, before), 200, None), (('"x"', None, None, after), 412, 'If-Match'), ((None, None, None, before), 412, 'If-Unmodified-Since'), ((None, tag, before, None), 304, None),
            ((None, '"x"', after, None), 200, None), ((None, None, after, None), 304, None), ((tag, tag, None, None), 304, None), (('"x"', tag, None, None), 412, 'If-Match'), ((None, None, 'never', 'ever'), 200, None)):
        names = ('if-match', 'if-none-match', 'if-modified-since', 'if-unmodified-since')
        headers = {name: value for name, value in zip(names, values) if value}
        answer = ask('GET', f'/{BUCKET}/k', headers=headers)
        same(answer.status, status, f'GET {headers}')
        if condition:
            refused(answer, 412, 'PreconditionFailed', f'{headers}', Condition=condition)
        source = {'x-amz-copy-source': f'/{BUCKET}/k', **{f'x-amz-copy-source-{name}': value for name, value in headers.items()}}
        same(ask('PUT', f'/{BUCKET}/copy', headers=source).status, 200 if status == 200 else 412, f'copy {headers}')
    refused(ask('PUT', f'/{BUCKET}/k', data=b'x', headers={'if-none-match': '*'}), 412, 'PreconditionFailed', Condition='If-None-Match')
    refused(ask('PUT', f'/{BUCKET}/k', data=b'x', headers={'if-match': '"x"'}), 412, 'PreconditionFailed', Condition='If-Match')
    refused(ask('PUT', f'/{BUCKET}/none', data=b'x', headers={'if-match': '"x"'}), 404, 'NoSuchKey')
    refused(ask('PUT', f'/{BUCKET}/k', data=b'x', headers={'if-none-match': '"x"'}), 501, 'NotImplemented')


@case
def copies(server):
    ask = wire(server)
    copy = lambda source, to='copy', **more: ask('PUT', f'/{BUCKET}/{to}', headers={'x-amz-copy-source': source, **{k.replace('_', '-'): v for k, v in more.items()}})
    refused(copy(f'/{BUCKET}/k', 'k'), 400, 'InvalidRequest', 'onto itself')
    refused(copy(f'/{BUCKET}/k?versionId=null', 'k'), 400, 'InvalidRequest', 'onto itself, by version')
    same(copy(f'/{BUCKET}/k', 'k', x_amz_metadata_directive='REPLACE', content_type='text/plain').status, 200, 'onto itself, with new metadata')
    same(copy(f'/{BUCKET}/k?versionId=null').status, 200, 'the null version')
    refused(copy(f'/{BUCKET}/k?versionId=x'), 404, 'NoSuchVersion', VersionId='x')
    refused(copy(f'/{BUCKET}/none'), 404, 'NoSuchKey', 'source', Key='none')
    refused(copy('/no-such-bucket/k'), 404, 'NoSuchBucket', 'source', BucketName='no-such-bucket')
    for source in ('x', '/', f'/{BUCKET}', f'/{BUCKET}/', '/%zz/k'):
        refused(copy(source), 400, 'InvalidArgument', source, ArgumentName='x-amz-copy-source')
    refused(copy(f'/{BUCKET}/k', x_amz_metadata_directive='MERGE'), 400, 'InvalidArgument', ArgumentName='x-amz-metadata-directive')
    refused(copy(f'/{BUCKET}/k', x_amz_tagging_directive='MERGE'), 400, 'InvalidArgument', ArgumentName='x-amz-tagging-directive')


@case
def buckets(server):
    ask = wire(server)
    for name in ('ab', 'Upper', 'under_score', '-begins', 'ends-', '1.2.3.4', 'a..b', 'x' * 64, 'xn--x', 'x-s3alias'):
        refused(ask('PUT', f'/{name}'), 400, 'InvalidBucketName', name, BucketName=name)
    refused(ask('PUT', f'/{BUCKET}'), 409, 'BucketAlreadyOwnedByYou', BucketName=BUCKET)
    refused(ask('DELETE', f'/{BUCKET}'), 409, 'BucketNotEmpty', BucketName=BUCKET)
    refused(ask('PUT', '/new-bucket', headers={'x-amz-acl': 'public-read'}), 400, 'InvalidBucketAclWithObjectOwnership')
    for method, path in (('GET', f'/{BUCKET}/k'), ('PUT', f'/{BUCKET}/k'), ('GET', f'/{BUCKET}'), ('DELETE', f'/{BUCKET}')):
        refused(ask(method, path, headers={'x-amz-expected-bucket-owner': '111122223333'}), 403, 'AccessDenied', method)
    refused(ask('PUT', f'/{BUCKET}/copy', headers={'x-amz-copy-source': f'/{BUCKET}/k', 'x-amz-source-expected-bucket-owner': '111122223333'}), 403, 'AccessDenied', 'source')


@case
def headers_that_cannot_be(server):
    ask = wire(server)
    put = lambda **headers: ask('PUT', f'/{BUCKET}/h', data=b'x', headers={k.replace('_', '-'): v for k, v in headers.items()})
    refused(put(content_md5='x'), 400, 'InvalidDigest')
    refused(put(content_md5=base64.b64encode(bytes(16)).decode()), 400, 'BadDigest')
    refused(put(x_amz_checksum_crc32='AAAAAA=='), 400, 'BadDigest')
    refused(put(x_amz_checksum_crc32='x'), 400, 'InvalidRequest')
    refused(put(x_amz_checksum_crc32='AAAAAA==', x_amz_checksum_sha1='x' * 28), 400, 'InvalidRequest', 'two')
    refused(put(x_amz_sdk_checksum_algorithm='CRC32'), 400, 'InvalidRequest', 'announced and not there')
    refused(put(x_amz_storage_class='GLACIER'), 400, 'InvalidStorageClass')
    refused(put(x_amz_acl='public-read'), 400, 'AccessControlListNotSupported')
    refused(put(x_amz_server_side_encryption='aws:kms'), 501, 'NotImplemented')
    refused(put(x_amz_tagging='a=1&a=2'), 400, 'InvalidArgument', 'twice the same')
    refused(put(x_amz_tagging='&'.join(f'a{n}=1' for n in range(11))), 400, 'BadRequest', 'eleven tags')
    refused(put(x_amz_content_sha256='x'), 400, 'InvalidArgument', 'x-amz-content-sha256')
    evil = ask('PUT', f'/{BUCKET}/h', data=b'x', payload=hashlib.sha256(b'y').hexdigest())
    refused(evil, 400, 'XAmzContentSHA256Mismatch')
    same(ask('GET', f'/{BUCKET}/h').status, 404, 'something of it stayed')
    for method in ('PATCH', 'TRACE'):
        same(ask(method, f'/{BUCKET}/k').status, 405, method)
    unsigned = ask('PUT', f'/{BUCKET}/h', data=b'x', spoil=lambda signed: {**signed, 'x-amz-meta-a': 'b'})
    refused(unsigned, 403, 'AccessDenied', 'a header that is not signed', HeadersNotSigned='x-amz-meta-a')
    refused(ask('GET', f'/{BUCKET}/%zz'), 400, 'InvalidURI')


@case
def the_connection_goes_on_where_the_body_was_read(server):
    ask = wire(server)
    raw = socket.create_connection((ask.base.hostname, ask.base.port), timeout=30)
    def one(method, path, data, query=()):
        target = ask.target(path, query)
        signed = sign(server.access_key, server.secret_key, server.region, method, f'http://{ask.base.netloc}{target}')
        raw.sendall((f'{method} {target} HTTP/1.1\r\n' + ''.join(f'{k}: {v}\r\n' for k, v in signed.items()) + f'content-length: {len(data)}\r\n\r\n').encode() + data)
        answer = http.client.HTTPResponse(raw, method=method)
        answer.begin()
        return answer.status, answer.read(), (answer.headers.get('connection') or '').lower()
    for method, path, data, query, status in (
            ('GET', f'/{BUCKET}/none', b'', (), 404), ('POST', f'/{BUCKET}', b'<x', [('delete', '')], 400), ('PUT', f'/{BUCKET}/k', b'<x', [('tagging', '')], 400),
            ('POST', f'/{BUCKET}/k', b'<x', [('uploadId', MISSING_UPLOAD)], 400), ('GET', f'/{BUCKET}', b'', [('max-keys', 'x')], 400), ('DELETE', '/no-such-bucket', b'', (), 404), ('GET', f'/{BUCKET}/k', b'', (), 200)):
        got = one(method, path, data, query)
        same(got[0], status, f'{method} {path} {query}: {got[1]!r}')
        true(got[2] != 'close', f'{method} {path}: the connection was closed')
    raw.close()


if __name__ == '__main__':
    main()
