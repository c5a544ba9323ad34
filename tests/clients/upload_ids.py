"""Upload ids of a service's own making: Cloudflare R2's are hundreds of base64 characters, `/`, `+` and `=` among them.

A stand-in passes requests on to the S3 service here, and gives the uploads there names like R2's. Whatever has an id in its query is signed anew.
"""
import base64
import hashlib
import http.client
import http.server
import os
import re
import subprocess
import sys
import threading
import urllib.parse
import urllib.request

import signing
from harness import Failure, Server, case, contains, finish, run_cases, same, true, wait_for
from s3 import body, client, keys, pattern, refused
from store import BUCKET, KEY, REGION, SECRET, store

OWN = 'ids'
PART = 5 << 20
IN_ANSWERS = re.compile(rb'<(UploadId|UploadIdMarker|NextUploadIdMarker)>([^<]+)</')
IN_QUERIES = ('uploadId', 'upload-id-marker')
# These belong to one connection.
HOP = {'host', 'connection', 'transfer-encoding', 'authorization', 'expect', 'content-length'}


class StandIn(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, there):
        self.there, self.real = there, {}
        super().__init__(('127.0.0.1', 0), Passing)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def named(self, real):
        """344 characters that begin with `+/+/` and end with `==`; the same ones for the same upload."""
        digests = b''.join(hashlib.sha512(f'{real} {n}'.encode()).digest() for n in range(4))
        name = base64.b64encode(b'\xfb\xff\xbf' + digests[3:]).decode()
        self.real[name] = real
        return name


class Passing(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def pass_on(self):
        path, _, query = self.path.partition('?')
        pairs = urllib.parse.parse_qsl(query, keep_blank_values=True)
        pairs = sorted((name, self.server.real.get(value, value) if name in IN_QUERIES else value) for name, value in pairs)
        query = urllib.parse.urlencode(pairs, quote_via=urllib.parse.quote, safe='-_.~')
        host = f'127.0.0.1:{self.server.there.port}'
        headers = {name.lower(): value for name, value in self.headers.items() if name.lower() not in HOP | {'x-amz-date', 'x-amz-content-sha256'}}
        signed = signing.sign(KEY, SECRET, REGION, self.command, f'http://{host}{path}?{query}', self.headers['x-amz-content-sha256'],
                              {name: value for name, value in headers.items() if name.startswith(('x-amz-', 'content-'))})
        data = self.rfile.read(int(self.headers.get('content-length', 0)))
        connection = http.client.HTTPConnection(host, timeout=60)
        try:
            connection.request(self.command, path + ('?' + query if query else ''), body=data, headers={**headers, **signed})
        except BrokenPipeError:
            pass    # the service has refused before it has read all; its answer is there
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        length = answer.headers['content-length'] if self.command == 'HEAD' else None
        if text.startswith(b'<?xml'):
            text = IN_ANSWERS.sub(lambda it: it[0].replace(it[2], self.server.named(it[2].decode()).encode()), text)
        self.send_response_only(answer.status)
        for name, value in answer.headers.items():
            if name.lower() not in HOP:
                self.send_header(name, value)
        self.send_header('content-length', length or str(len(text)))
        self.end_headers()
        try:
            self.wfile.write(text)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True    # the server has given the request up

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = pass_on

    def log_message(self, *_):
        pass


class Stage:
    def __init__(self, there, standin, server):
        self.there, self.standin, self.server, self.s3 = there, standin, server, client(server)
        self.log_path, self.show_log = server.log_path, server.show_log

    def begin(self, key):
        upload = self.s3.create_multipart_upload(Bucket=OWN, Key=key)['UploadId']
        true(len(upload) == 344 and upload.startswith('+/+/') and upload.endswith('=='), f'no id of the service: {upload}')
        return {'Bucket': OWN, 'Key': key, 'UploadId': upload}

    def left(self):
        """Uploads in the service, by key."""
        return [key for key, _ in self.there.uploads()]


def of(parts):
    return {'Parts': [{'PartNumber': number, 'ETag': etag} for number, etag in parts]}


@case
def the_ledger_and_the_worker_know_them_too(stage):
    """What a dead server has begun, and what nobody has gone on with: waited for at the end."""
    server = stage.server
    tenant = server.keys.get('STORAGE_TENANT_ID') or server.keys.get('TENANT_ID') or 'storage-single-tenant'
    version = '8556a18b-0258-4c57-a46a-3ab841478cbf'
    service = stage.there.client()
    for _ in range(2):
        service.create_multipart_upload(Bucket=BUCKET, Key=f'{tenant}/{OWN}/dead/{version}')
    same(len(stage.left()), 2, 'uploads of a server that died')
    server.sql(f"insert into rowlock.rowlock_pending (blob_key, process, created_at) values ('{OWN}/dead/{version}', gen_random_uuid(), now() - interval '2 days')")
    server.kill()
    server.start()
    stage.begin('abandoned')
    server.sql("update storage.s3_multipart_uploads set created_at = now() - interval '8 days' where key = 'abandoned'")


@case
def an_upload_is_made_listed_and_completed(stage):
    s3, data = stage.s3, [pattern(PART, 'one'), pattern(PART, 'two'), b'end']
    s3.put_object(Bucket=OWN, Key='source', Body=data[1])
    upload = stage.begin('d/whole ü')
    parts = [(1, s3.upload_part(**upload, PartNumber=1, Body=data[0])['ETag']),
             (2, s3.upload_part_copy(**upload, PartNumber=2, CopySource={'Bucket': OWN, 'Key': 'source'})['CopyPartResult']['ETag']),
             (3, s3.upload_part(**upload, PartNumber=3, Body=data[2])['ETag'])]
    page = s3.list_parts(**upload, MaxParts=2)
    same((page['UploadId'], [it['PartNumber'] for it in page['Parts']], page['IsTruncated']), (upload['UploadId'], [1, 2], True), 'first page of parts')
    page = s3.list_parts(**upload, PartNumberMarker=page['NextPartNumberMarker'])
    same([it['PartNumber'] for it in page['Parts']], [3], 'second page of parts')
    s3.complete_multipart_upload(**upload, MultipartUpload=of(parts))
    true(body(s3.get_object(Bucket=OWN, Key='d/whole ü')) == b''.join(data), 'bytes differ')
    # The second time it is an answer that was kept.
    s3.complete_multipart_upload(**upload, MultipartUpload=of(parts))


@case
def uploads_are_listed_page_by_page(stage):
    ids = {key: sorted(stage.begin(f'list/{key}')['UploadId'] for _ in range(3)) for key in ('a', 'b')}
    wanted, found, markers = [(f'list/{key}', upload) for key in ids for upload in ids[key]], [], {}
    for _ in range(len(wanted)):
        page = stage.s3.list_multipart_uploads(Bucket=OWN, Prefix='list/', MaxUploads=1, **markers)
        found += [(it['Key'], it['UploadId']) for it in page['Uploads']]
        markers = {'KeyMarker': page.get('NextKeyMarker', ''), 'UploadIdMarker': page.get('NextUploadIdMarker', '')}
        same(page.get('UploadIdMarker', '') in ('', found[-2][1] if len(found) > 1 else ''), True, 'marker in the answer')
    same((found, page['IsTruncated']), (wanted, False), 'uploads')
    for key, upload in wanted:
        stage.s3.abort_multipart_upload(Bucket=OWN, Key=key, UploadId=upload)
    refused(lambda: stage.s3.list_parts(Bucket=OWN, Key=key, UploadId=upload), 'NoSuchUpload', 404)
    wait_for('the service to have forgotten them', lambda: not [key for key in stage.left() if '/list/' in key], 20)


@case
def an_upload_that_the_reference_began_goes_on(stage):
    """Its row says less than ours."""
    begun = stage.begin('theirs')
    stage.server.sql("update storage.s3_multipart_uploads set metadata = null, user_metadata = null where key = 'theirs'")
    etag = stage.s3.upload_part(**begun, PartNumber=1, Body=b'by the reference')['ETag']
    same(stage.server.sql("select id from storage.s3_multipart_uploads where key = 'theirs'"), begun['UploadId'], 'the row\'s id')
    stage.s3.complete_multipart_upload(**begun, MultipartUpload=of([(1, etag)]))
    same(body(stage.s3.get_object(Bucket=OWN, Key='theirs')), b'by the reference', 'bytes')


@case
def presigned_parts_and_unencoded_ids(stage):
    begun = stage.begin('signed')
    url = stage.s3.generate_presigned_url('upload_part', Params={**begun, 'PartNumber': 1})
    contains(url, urllib.parse.quote(begun['UploadId'], safe=''), 'URL')
    with urllib.request.urlopen(urllib.request.Request(url, data=b'presigned', method='PUT')) as answer:
        etag = answer.headers['ETag']
    stage.s3.complete_multipart_upload(**begun, MultipartUpload=of([(1, etag)]))
    same(body(stage.s3.get_object(Bucket=OWN, Key='signed')), b'presigned', 'bytes')
    for odd in ('no/such+id==', '../../../etc', 'ü', 'x' * 2000):
        refused(lambda: stage.s3.upload_part(Bucket=OWN, Key='signed', UploadId=odd, PartNumber=1, Body=b'x'), 'NoSuchUpload', 404)


@case
def an_upload_that_was_ended_in_the_service_is_gone(stage):
    """By a lifecycle rule, or past the server. moto's server answers 500 to all of this, as a store does that is away."""
    s3, begun = stage.s3, stage.begin('ended')
    s3.put_object(Bucket=OWN, Key='source', Body=b'source')
    etag = s3.upload_part(**begun, PartNumber=1, Body=b'one')['ETag']
    key = next(key for key in stage.left() if '/ended/' in key)
    stage.there.client().abort_multipart_upload(Bucket=BUCKET, Key=key, UploadId=stage.standin.real[begun['UploadId']])
    gone = ('NoSuchUpload', 404) if hasattr(stage.there, 'program') else ('ServiceUnavailable', 503)
    refused(lambda: s3.upload_part(**begun, PartNumber=2, Body=b'two'), *gone)
    refused(lambda: s3.upload_part(**begun, PartNumber=3, Body=pattern(PART + 1000, 'passes')), *gone)
    refused(lambda: s3.upload_part_copy(**begun, PartNumber=4, CopySource={'Bucket': OWN, 'Key': 'source'}), *gone)
    refused(lambda: s3.complete_multipart_upload(**begun, MultipartUpload=of([(1, etag)])), *gone)
    s3.abort_multipart_upload(**begun)
    refused(lambda: s3.head_object(Bucket=OWN, Key='ended'), '404', 404)


@case
def the_aws_cli_does_it_too(stage):
    server = stage.server
    env = {'PATH': os.environ['PATH'], 'HOME': str(server.folder), 'AWS_ACCESS_KEY_ID': server.access_key, 'AWS_SECRET_ACCESS_KEY': server.secret_key,
           'AWS_EC2_METADATA_DISABLED': 'true', 'AWS_DEFAULT_REGION': server.region, 'AWS_ENDPOINT_URL_S3': server.endpoint}

    def aws(*arguments):
        done = subprocess.run([sys.executable, '-m', 'awscli', *arguments], env=env, cwd=server.folder, capture_output=True, text=True, timeout=120)
        if done.returncode:
            raise Failure(f'aws {" ".join(arguments)[:80]}: {done.stderr.strip()}')
        return done.stdout.strip()
    large, small = server.folder / 'large', server.folder / 'small'
    large.write_bytes(pattern(3 * PART + 17, 'cli'))
    small.write_bytes(b'by hand')
    aws('s3', 'cp', 'large', f's3://{OWN}/cli/large', '--only-show-errors')
    true(body(stage.s3.get_object(Bucket=OWN, Key='cli/large')) == large.read_bytes(), 'bytes differ')
    where = ('--bucket', OWN, '--key', 'cli/hand')
    upload = aws('s3api', 'create-multipart-upload', *where, '--query', 'UploadId', '--output', 'text')
    where += ('--upload-id', upload)
    etag = aws('s3api', 'upload-part', *where, '--part-number', '1', '--body', 'small', '--query', 'ETag', '--output', 'text')
    same(aws('s3api', 'list-parts', *where, '--query', 'Parts[].ETag', '--output', 'text'), etag, 'parts')
    same(aws('s3api', 'list-multipart-uploads', '--bucket', OWN, '--prefix', 'cli/', '--query', 'Uploads[].UploadId', '--output', 'text'), upload, 'uploads')
    aws('s3api', 'complete-multipart-upload', *where, '--multipart-upload', f'Parts=[{{PartNumber=1,ETag={etag}}}]')
    same(body(stage.s3.get_object(Bucket=OWN, Key='cli/hand')), b'by hand', 'bytes')


@case
def large_bodies_and_their_failure_leave_nothing(stage):
    """Uploads that the server itself begins for one body."""
    data = pattern(3 * PART + 5, 'large')
    stage.s3.put_object(Bucket=OWN, Key='large', Body=data)
    true(body(stage.s3.get_object(Bucket=OWN, Key='large')) == data, 'bytes differ')
    refused(lambda: stage.s3.put_object(Bucket=OWN, Key='torn', Body=data, ContentMD5=base64.b64encode(hashlib.md5(b'other').digest()).decode()), 'BadDigest', 400)
    same('torn' in keys(stage.s3.list_objects_v2(Bucket=OWN)), False, 'torn')
    wait_for('the service to have no upload but the abandoned one', lambda: not [key for key in stage.left() if '/torn/' in key], 30)


@case
def in_the_end_no_upload_is_left(stage):
    try:
        wait_for('the worker to have aborted what is abandoned, and the ledger to be empty', lambda: not stage.left(), 120, every=0.5)
    except Failure as failure:
        raise Failure(f'{failure}: {stage.left()}') from None
    rows = 'select (select count(*) from storage.s3_multipart_uploads), (select count(*) from rowlock.rowlock_pending)'
    wait_for('the rows to go with them', lambda: stage.server.sql(rows) == '0|0', 60, every=0.5)


def run():
    with store() as there:
        standin = StandIn(there)
        environment = there.environment(GLOBAL_S3_ENDPOINT=f'http://127.0.0.1:{standin.server_port}', STORAGE_S3_UPLOAD_PART_SIZE=str(PART), ROWLOCK_BLOB_GRACE='1')
        with Server(env=environment) as server:
            client(server).create_bucket(Bucket=OWN)
            return run_cases(Stage(there, standin, server))


if __name__ == '__main__':
    try:
        counts = run()
    except Failure as failure:
        print(f'FAILED upload_ids: {failure}')
        counts = (0, 1)
    finish(*counts)
