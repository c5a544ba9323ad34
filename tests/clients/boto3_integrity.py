"""boto3 and hand-signed requests: what a sender says of its bytes must hold, in every payload mode, or nothing is stored.

Over plain HTTP boto3 sends checksums as headers, over TLS as trailers: so every case here runs both ways where it can.
"""
import base64
import hashlib
import hmac
import http.client
import urllib.parse
import zlib

from s3 import body, client, pattern, refused
from harness import Failure, case, main, same, true
from signing import EMPTY, send, sign as sign_with, signing_key
from tls import Terminator

BUCKET = 'integrity-bucket'
ALGORITHMS = ['CRC32', 'CRC32C', 'SHA1', 'SHA256', 'CRC64NVME']
DATA = pattern(300_001, 'integrity')
WRONG = {'CRC32': 'AAAAAA==', 'CRC32C': 'AAAAAA==', 'SHA1': base64.b64encode(bytes(20)).decode(), 'SHA256': base64.b64encode(bytes(32)).decode(), 'CRC64NVME': 'AAAAAAAAAAA='}


def sign(s3, method, url, payload, headers=None):
    """All headers of a request signed with the client's own credentials."""
    credentials = s3._request_signer._credentials
    return sign_with(credentials.access_key, credentials.secret_key, s3.meta.region_name, method, url, payload, headers)


def absent(s3, key):
    refused(lambda: s3.head_object(Bucket=BUCKET, Key=key), status=404)


@case
def every_algorithm_in_a_header(server):
    s3 = client(server)
    s3.create_bucket(Bucket=BUCKET)
    for name in ALGORITHMS:
        for data in (DATA, b''):
            s3.put_object(Bucket=BUCKET, Key=f'header/{name}', Body=data, ChecksumAlgorithm=name)
            true(body(s3.get_object(Bucket=BUCKET, Key=f'header/{name}')) == data, f'{name}: bytes differ')


@case
def every_algorithm_in_a_trailer(server):
    with Terminator(server.port, server.folder) as tls:
        s3 = client(server, endpoint=tls.endpoint, verify=str(tls.certificate))
        for name in ALGORITHMS:
            for data in (DATA, b''):
                s3.put_object(Bucket=BUCKET, Key=f'trailer/{name}', Body=data, ChecksumAlgorithm=name)
                answer = s3.get_object(Bucket=BUCKET, Key=f'trailer/{name}')
                true(body(answer) == data, f'{name}: bytes differ')
                # aws-chunked is the wire's business: it must not come back as the object's encoding.
                same(answer.get('ContentEncoding', ''), '', f'{name}: encoding')


@case
def every_algorithm_on_parts(server):
    with Terminator(server.port, server.folder) as tls:
        for s3 in (client(server), client(server, endpoint=tls.endpoint, verify=str(tls.certificate))):
            for name in ALGORITHMS:
                upload = s3.create_multipart_upload(Bucket=BUCKET, Key='part', ChecksumAlgorithm=name)['UploadId']
                part = s3.upload_part(Bucket=BUCKET, Key='part', UploadId=upload, PartNumber=1, Body=DATA, ChecksumAlgorithm=name)
                named = {'PartNumber': 1, 'ETag': part['ETag'], f'Checksum{name}': part[f'Checksum{name}']}
                s3.complete_multipart_upload(Bucket=BUCKET, Key='part', UploadId=upload, MultipartUpload={'Parts': [named]})
                true(body(s3.get_object(Bucket=BUCKET, Key='part')) == DATA, f'{name}: bytes differ')


@case
def a_wrong_checksum_stores_nothing(server):
    s3 = client(server, request_checksum_calculation='when_required')
    for name in ALGORITHMS:
        refused(lambda: s3.put_object(Bucket=BUCKET, Key='bad', Body=DATA, **{f'Checksum{name}': WRONG[name]}), 'BadDigest', 400)
        absent(s3, 'bad')
        upload = s3.create_multipart_upload(Bucket=BUCKET, Key='bad')['UploadId']
        refused(lambda: s3.upload_part(Bucket=BUCKET, Key='bad', UploadId=upload, PartNumber=1, Body=DATA, **{f'Checksum{name}': WRONG[name]}), 'BadDigest', 400)
        same(s3.list_parts(Bucket=BUCKET, Key='bad', UploadId=upload).get('Parts'), None, 'parts')
        s3.abort_multipart_upload(Bucket=BUCKET, Key='bad', UploadId=upload)


@case
def a_checksum_that_is_none_is_refused(server):
    s3 = client(server, request_checksum_calculation='when_required')
    for name, value in (('CRC32', 'zzz'), ('SHA256', 'AAAAAA=='), ('CRC64NVME', '')):
        status = refused(lambda: s3.put_object(Bucket=BUCKET, Key='bad', Body=DATA, **{f'Checksum{name}': value}))[1]
        same(status, 400, f'{name} {value!r}')
    absent(s3, 'bad')


@case
def a_wrong_md5_stores_nothing(server):
    s3 = client(server)
    good = base64.b64encode(hashlib.md5(DATA).digest()).decode()
    s3.put_object(Bucket=BUCKET, Key='md5', Body=DATA, ContentMD5=good)
    refused(lambda: s3.put_object(Bucket=BUCKET, Key='md5', Body=b'other', ContentMD5=good), 'BadDigest', 400)
    refused(lambda: s3.put_object(Bucket=BUCKET, Key='md5', Body=b'other', ContentMD5='no md5'), 'InvalidDigest', 400)
    true(body(s3.get_object(Bucket=BUCKET, Key='md5')) == DATA, 'the object changed')
    refused(lambda: s3.put_object(Bucket=BUCKET, Key='md5-new', Body=b'other', ContentMD5=good), 'BadDigest')
    absent(s3, 'md5-new')


@case
def the_signed_hash_of_the_body_is_checked(server):
    # A proxy that alters the body, or a forger who has one signed request, must not get other bytes stored.
    s3 = client(server)
    url = f'{server.endpoint}/{BUCKET}/hash'
    headers = sign(s3, 'PUT', url, hashlib.sha256(b'good').hexdigest())
    same(send('PUT', url, headers, b'evil')[:2], (400, 'XAmzContentSHA256Mismatch'), 'other bytes of the same length')
    absent(s3, 'hash')
    same(send('PUT', url, headers, b'good')[0], 200, 'the signed bytes')


@case
def unsigned_payloads_are_taken(server):
    s3 = client(server)
    url = f'{server.endpoint}/{BUCKET}/unsigned'
    same(send('PUT', url, sign(s3, 'PUT', url, 'UNSIGNED-PAYLOAD'), DATA)[0], 200, 'UNSIGNED-PAYLOAD')
    true(body(s3.get_object(Bucket=BUCKET, Key='unsigned')) == DATA, 'bytes differ')


# ---------------------------------------------------------------- signed chunks, as the AWS documentation lays them out
# https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html and …/sigv4-streaming-trailers.html

def chunked(s3, headers, chunks, trailer=None, spoil=None):
    """The body of a signed-chunk upload. `spoil` names what to falsify: 'data', 'signature', 'trailer', 'end'."""
    stamp, region = headers['x-amz-date'], s3.meta.region_name
    key = signing_key(s3._request_signer._credentials.secret_key, stamp[:8], region)
    scope, last = f'{stamp[:8]}/{region}/s3/aws4_request', headers['authorization'].rsplit('=', 1)[1]
    out = b''
    for number, chunk in enumerate([*chunks, b'']):
        text = '\n'.join(['AWS4-HMAC-SHA256-PAYLOAD', stamp, scope, last, EMPTY, hashlib.sha256(chunk).hexdigest()])
        last = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        shown = last if not (spoil == 'signature' and number == 1) else last[:-1] + ('0' if last[-1] != '0' else '1')
        sent = chunk if not (spoil == 'data' and number == 1) else b'!' + chunk[1:]
        if spoil == 'end' and not chunk:
            break
        out += f'{len(chunk):x};chunk-signature={shown}\r\n'.encode() + sent + (b'\r\n' if chunk else b'')
    if trailer:
        text = '\n'.join(['AWS4-HMAC-SHA256-TRAILER', stamp, scope, last, hashlib.sha256(f'{trailer}\n'.encode()).hexdigest()])
        final = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        if spoil == 'trailer':
            final = '0' * 64
        out += f'{trailer}\r\nx-amz-trailer-signature:{final}\r\n'.encode()
    return out + (b'' if spoil == 'end' else b'\r\n')


def put_chunks(server, key, trailer=None, spoil=None, declared=None, named=None):
    s3 = client(server)
    url = f'{server.endpoint}/{BUCKET}/{key}'
    more = {'x-amz-decoded-content-length': str(declared if declared is not None else len(DATA)), 'content-encoding': 'aws-chunked'}
    mode = 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD'
    if trailer:
        mode, more['x-amz-trailer'] = mode + '-TRAILER', named or trailer.split(':')[0]
    headers = sign(s3, 'PUT', url, mode, more)
    pieces = [DATA[:65536], DATA[65536:65537], DATA[65537:250_000], DATA[250_000:]]
    return send('PUT', url, headers, chunked(s3, headers, pieces, trailer, spoil))


CRC = 'x-amz-checksum-crc32:' + base64.b64encode(zlib.crc32(DATA).to_bytes(4, 'big')).decode()


@case
def signed_chunks_are_joined(server):
    same(put_chunks(server, 'chunks')[0], 200, 'signed chunks')
    same(put_chunks(server, 'chunks-trailer', CRC)[0], 200, 'signed chunks with a trailer')
    for key in ('chunks', 'chunks-trailer'):
        answer = client(server).get_object(Bucket=BUCKET, Key=key)
        true(body(answer) == DATA, f'{key}: bytes differ')
        same(answer.get('ContentEncoding', ''), '', f'{key}: encoding')


@case
def falsified_chunks_store_nothing(server):
    s3 = client(server)
    for name, arguments, code in (
            ('data', dict(spoil='data'), 'SignatureDoesNotMatch'), ('signature', dict(spoil='signature'), 'SignatureDoesNotMatch'),
            ('trailer', dict(trailer=CRC, spoil='trailer'), 'SignatureDoesNotMatch'), ('checksum', dict(trailer='x-amz-checksum-crc32:AAAAAA=='), 'BadDigest'),
            ('too-short', dict(declared=len(DATA) + 1), 'IncompleteBody'), ('cut', dict(spoil='end'), 'IncompleteBody')):
        got = put_chunks(server, 'spoiled-' + name, **arguments)
        true(400 <= got[0] < 500, f'{name}: {got}')
        same(got[1], code, name)
        absent(s3, 'spoiled-' + name)


@case
def a_trailer_that_was_not_announced_or_does_not_come_is_refused(server):
    # Otherwise who strips the trailer strips the check.
    s3 = client(server)
    for name, arguments in (('unannounced', dict(trailer=CRC, named='x-amz-checksum-sha256')),):
        status, code = put_chunks(server, 'trailer-' + name, **arguments)
        true(400 <= status < 500, f'{name}: {status} {code}')
        absent(s3, 'trailer-' + name)


@case
def unsigned_chunks_with_a_wrong_trailer_store_nothing(server):
    s3 = client(server)
    url = f'{server.endpoint}/{BUCKET}/unsigned-trailer'
    def put(trailer, announce='x-amz-checksum-crc32'):
        headers = sign(s3, 'PUT', url, 'STREAMING-UNSIGNED-PAYLOAD-TRAILER',
                       {'x-amz-decoded-content-length': str(len(DATA)), 'x-amz-trailer': announce, 'content-encoding': 'aws-chunked'})
        data = f'{len(DATA):x}\r\n'.encode() + DATA + b'\r\n0\r\n' + (trailer + '\r\n' if trailer else '').encode() + b'\r\n'
        return send('PUT', url, headers, data)
    same(put('x-amz-checksum-crc32:AAAAAA=='), (400, 'BadDigest'), 'wrong trailer')
    same(put('')[0], 400, 'announced trailer that does not come')
    absent(s3, 'unsigned-trailer')
    same(put(CRC)[0], 200, 'right trailer')
    true(body(s3.get_object(Bucket=BUCKET, Key='unsigned-trailer')) == DATA, 'bytes differ')


@case
def a_body_cut_short_stores_nothing(server):
    import socket
    s3 = client(server)
    s3.put_object(Bucket=BUCKET, Key='cut', Body=b'before')
    url = f'{server.endpoint}/{BUCKET}/cut'
    headers = sign(s3, 'PUT', url, 'UNSIGNED-PAYLOAD')
    with socket.create_connection(('127.0.0.1', server.port)) as raw:
        head = f'PUT {urllib.parse.urlsplit(url).path} HTTP/1.1\r\n' + ''.join(f'{k}: {v}\r\n' for k, v in headers.items()) + f'content-length: {len(DATA)}\r\n\r\n'
        raw.sendall(head.encode() + DATA[:1000])
    same(body(s3.get_object(Bucket=BUCKET, Key='cut')), b'before', 'object after a cut upload')


@case
def an_upload_without_a_length_is_refused(server):
    # S3 has always asked for the length (MissingContentLength), so no client relies on anything else.
    s3 = client(server)
    url = f'{server.endpoint}/{BUCKET}/no-length'
    where = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=30)
    connection.request('PUT', where.path, body=iter([b'a', b'b']), headers={**sign(s3, 'PUT', url, 'UNSIGNED-PAYLOAD'), 'transfer-encoding': 'chunked'}, encode_chunked=True)
    answer = connection.getresponse()
    text = answer.read()
    if answer.status == 200:
        same(body(s3.get_object(Bucket=BUCKET, Key='no-length')), b'ab', 'bytes of a body without a length')
    elif answer.status != 411 or b'MissingContentLength' not in text:
        raise Failure(f'status {answer.status}: {text[:200]!r}')


if __name__ == '__main__':
    main()
