"""Clients that leave in the middle of an upload: nothing of it stays, in files and rows, whatever they spoke and however they left."""
import base64
import datetime
import hashlib
import hmac
import json
import socket
import struct
import time
import urllib.parse

from common import Failure, Server, case, client, finish, run_cases, same, true, wait_for
from signing import sign, signing_key
from slow_clients import files, held_for_clients, request, service, signed

BUCKET = 'slow'
BEFORE = b'before'
# Kept in memory until it is whole, and on its way into a file.
SIZES = {'a little': 10_000, 'much': 3 << 20}
# An end, which a client sends that is closed; a reset, as of one that died.
ENDS = ('end', 'reset')


def rest(server, method, key, *headers, token=None):
    return request(server, method, f'/storage/v1/object/{key}', f'authorization: Bearer {token or service(server)}', 'x-upsert: true', *headers)


def raw_body(server, size):
    return rest(server, 'POST', f'{BUCKET}/kept', 'content-type: text/plain', f'content-length: {size * 2}') + b'x' * size


def replaced(server, size):
    return rest(server, 'PUT', f'{BUCKET}/kept', 'content-type: text/plain', f'content-length: {size * 2}') + b'x' * size


def without_a_length(server, size):
    return rest(server, 'POST', f'{BUCKET}/kept', 'transfer-encoding: chunked') + f'{size:x}\r\n'.encode() + b'x' * size + b'\r\n'


def in_a_form(server, size):
    head = b'--B\r\ncontent-disposition: form-data; name=""; filename="f"\r\ncontent-type: text/plain\r\n\r\n'
    return rest(server, 'POST', f'{BUCKET}/kept', 'content-type: multipart/form-data; boundary=B', f'content-length: {size * 2}') + head + b'x' * size


def by_signed_url(server, size):
    raw = socket.create_connection(('127.0.0.1', server.port))
    raw.sendall(rest(server, 'POST', f'upload/sign/{BUCKET}/kept', 'content-length: 0', 'connection: close'))
    answer = b''
    while piece := raw.recv(65536):
        answer += piece
    url = json.loads(answer.split(b'\r\n\r\n', 1)[1])['url']
    return request(server, 'PUT', '/storage/v1' + url, 'content-type: text/plain', f'content-length: {size * 2}') + b'x' * size


def by_s3(server, size):
    path, headers = signed(server, 'PUT', 'kept')
    return request(server, 'PUT', path, *headers, f'content-length: {size * 2}') + b'x' * size


def by_s3_in_chunks(server, size):
    url = f'{server.endpoint}/{BUCKET}/kept'
    headers = sign(server.access_key, server.secret_key, 'stub', 'PUT', url, 'STREAMING-UNSIGNED-PAYLOAD-TRAILER',
                   {'x-amz-decoded-content-length': str(size * 2), 'x-amz-trailer': 'x-amz-checksum-crc32', 'content-encoding': 'aws-chunked'})
    lines = [f'{k}: {v}' for k, v in headers.items() if k != 'host']
    return request(server, 'PUT', urllib.parse.urlsplit(url).path, *lines, f'content-length: {size * 2 + 100}') + f'{size:x}\r\n'.encode() + b'x' * size + b'\r\n'


def by_s3_form(server, size):
    now = datetime.datetime.now(datetime.timezone.utc)
    stamp = now.strftime('%Y%m%dT%H%M%SZ')
    fields = {'key': 'kept', 'x-amz-algorithm': 'AWS4-HMAC-SHA256', 'x-amz-date': stamp, 'x-amz-credential': f'{server.access_key}/{stamp[:8]}/stub/s3/aws4_request'}
    conditions = [{'bucket': BUCKET}, *({k: v} for k, v in fields.items())]
    policy = base64.b64encode(json.dumps({'expiration': (now + datetime.timedelta(minutes=5)).strftime('%Y-%m-%dT%H:%M:%SZ'), 'conditions': conditions}).encode()).decode()
    fields |= {'policy': policy, 'x-amz-signature': hmac.new(signing_key(server.secret_key, stamp[:8], 'stub'), policy.encode(), hashlib.sha256).hexdigest()}
    form = ''.join(f'--B\r\ncontent-disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in fields.items())
    form += '--B\r\ncontent-disposition: form-data; name="file"; filename="f"\r\n\r\n'
    return request(server, 'POST', f'/storage/v1/s3/{BUCKET}', 'content-type: multipart/form-data; boundary=B', f'content-length: {size * 3}') + form.encode() + b'x' * size


def part(server, size):
    url = f'{server.endpoint}/{BUCKET}/parts?partNumber=1&uploadId={server.upload_id}'
    headers = [f'{k}: {v}' for k, v in sign(server.access_key, server.secret_key, 'stub', 'PUT', url).items() if k != 'host']
    at = urllib.parse.urlsplit(url)
    return request(server, 'PUT', f'{at.path}?{at.query}', *headers, f'content-length: {size * 2}') + b'x' * size


WAYS = (raw_body, replaced, without_a_length, in_a_form, by_signed_url, by_s3, by_s3_in_chunks, by_s3_form, part)


def leave(server, data, end, wait):
    """Sends all that, and leaves once the server has read it and waits for more."""
    raw = socket.create_connection(('127.0.0.1', server.port), timeout=30)
    raw.sendall(data)
    wait()
    if end == 'reset':
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    raw.close()


def rows(server):
    return server.sql('select (select count(*) from storage.objects), (select count(*) from storage.s3_multipart_uploads_parts),'
                      ' (select count(*) from rowlock.rowlock_pending), (select count(*) from rowlock.rowlock_outbox)')


@case
def nothing_stays(server):
    s3 = client(server)
    server.sql(f"insert into storage.buckets (id, name, public) values ('{BUCKET}', '{BUCKET}', true)")
    s3.put_object(Bucket=BUCKET, Key='kept', Body=BEFORE)
    server.upload_id = s3.create_multipart_upload(Bucket=BUCKET, Key='parts')['UploadId']
    s3.close()
    wait_for('its connection to go', lambda: held_for_clients(server) == (0, 0))
    before, rows_before = files(server), rows(server)
    for way in WAYS:
        for size in SIZES.values():
            for end in ENDS:
                data = way(server, size)
                # A large one is seen in its file; of a small one nothing is to be seen yet.
                def under_way():
                    if size > 300_000:
                        wait_for(f'{way.__name__} to be under way', lambda: len(files(server)) == len(before) + 1)
                    else:
                        time.sleep(0.1)
                leave(server, data, end, under_way)
                wait_for(f'the connection of {way.__name__} to go', lambda: held_for_clients(server) == (0, 0))
                wait_for(f'the file of {way.__name__} to go', lambda: files(server) == before)
                same(rows(server), rows_before, f'rows after {way.__name__}, {size}, {end}')
    same(client(server).get_object(Bucket=BUCKET, Key='kept')['Body'].read(), BEFORE, 'what was there before')


@case
def whole_uploads_do_not_leave_nothing(server):
    """The same requests to their ends: what they lack above is nothing but the rest of their bodies."""
    ends = {in_a_form: b'\r\n--B--\r\n', by_s3_form: b'\r\n--B--\r\n', without_a_length: b'0\r\n\r\n', by_s3_in_chunks: None}
    for way in WAYS:
        if ends.get(way, b'') is None:
            continue   # its trailer would take a checksum; boto3_integrity.py sends it
        data = way(server, 10_000)
        head, _, body = data.partition(b'\r\n\r\n')
        body += ends.get(way, b'')
        lines = [f'content-length: {len(body)}'.encode() if l.startswith(b'content-length:') else l for l in head.split(b'\r\n')]
        with socket.create_connection(('127.0.0.1', server.port), timeout=30) as raw:
            raw.sendall(b'\r\n'.join(lines) + b'\r\n\r\n' + body)
            answer = raw.recv(65536)
            true(answer.startswith((b'HTTP/1.1 200', b'HTTP/1.1 204')), f'{way.__name__}: {answer[:600]!r}')


if __name__ == '__main__':
    try:
        with Server(env={'ROWLOCK_BLOB_GRACE': '1', 'LOG_LEVEL': 'error'}) as server:
            counts = run_cases(server)
    except Failure as failure:
        print(f'FAILED server: {failure}')
        counts = (0, 1)
    finish(*counts)
