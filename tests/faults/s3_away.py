"""A service that hangs, refuses or stops taking bytes, whatever is asked of it: every operation of both protocols answers 503, within the timeout, and once
the service is well again each of them works.
"""
import threading

import requests

from common import Failure, Server, case, client, finish, pattern, run_cases, same, true, wait_for
from botocore.exceptions import ClientError
from s3 import body
from s3_faults import Proxy
from store import store

BUCKET = 'away'
MIB = 1 << 20
PART = 5 * MIB
TIMEOUT = 3
# Attempts, their pauses and a busy machine; nobody waits for the 30 s that are the default, let alone for ever.
LONG = 60
SMALL = pattern(3000, 'small')
LARGE = pattern(PART + 1000, 'large')
HUGE = pattern(3 * PART, 'huge')


def said(code, status, text='no'):
    xml = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{text}</Message></Error>'
    return f'HTTP/1.1 {status} {code}\r\ncontent-type: application/xml\r\ncontent-length: {len(xml)}\r\nconnection: close\r\n\r\n{xml}'.encode()


class Stage:
    def __init__(self, there, proxy, server):
        self.there, self.proxy, self.server = there, proxy, server
        self.log_path, self.show_log = server.log_path, server.show_log
        self.s3 = client(server)
        self.token = server.command('token', '--role', 'service_role')
        s3 = self.s3
        s3.create_bucket(Bucket=BUCKET)
        for key, data in (('small', SMALL), ('large', LARGE), ('moved', SMALL)):
            s3.put_object(Bucket=BUCKET, Key=key, Body=data)
        self.upload = {'Bucket': BUCKET, 'Key': 'joined', 'UploadId': s3.create_multipart_upload(Bucket=BUCKET, Key='joined')['UploadId']}
        self.part = s3.upload_part(**self.upload, PartNumber=1, Body=LARGE)['ETag']

    def rest(self, method, path, **more):
        answer = requests.request(method, self.server.url + '/storage/v1' + path, timeout=LONG, **more,
                                  headers={'authorization': f'Bearer {self.token}', 'x-upsert': 'true', 'content-type': 'text/plain'} if 'json' not in more
                                  else {'authorization': f'Bearer {self.token}', 'x-upsert': 'true'})
        return answer.status_code, answer.text

    def operations(self):
        """All that comes to the service, by name; each is asked with what was there before and can be asked again."""
        s3, source = self.s3, {'Bucket': BUCKET, 'Key': 'large'}
        return {
            'GetObject': lambda: body(s3.get_object(Bucket=BUCKET, Key='large')),
            'GetObject, a range': lambda: body(s3.get_object(Bucket=BUCKET, Key='large', Range='bytes=5-4000')),
            'PutObject': lambda: s3.put_object(Bucket=BUCKET, Key='put', Body=SMALL),
            'PutObject, empty': lambda: s3.put_object(Bucket=BUCKET, Key='empty', Body=b''),
            'PutObject, in parts': lambda: s3.put_object(Bucket=BUCKET, Key='huge', Body=HUGE),
            'CopyObject': lambda: s3.copy_object(Bucket=BUCKET, Key='copy', CopySource=source),
            'CreateMultipartUpload': lambda: s3.abort_multipart_upload(
                Bucket=BUCKET, Key='begun', UploadId=s3.create_multipart_upload(Bucket=BUCKET, Key='begun')['UploadId']),
            'UploadPart': lambda: s3.upload_part(**self.upload, PartNumber=2, Body=SMALL),
            'UploadPartCopy': lambda: s3.upload_part_copy(**self.upload, PartNumber=3, CopySource=source),
            'UploadPartCopy, a range': lambda: s3.upload_part_copy(**self.upload, PartNumber=4, CopySource=source, CopySourceRange='bytes=0-99'),
            'CompleteMultipartUpload': lambda: s3.complete_multipart_upload(**self.upload, MultipartUpload={'Parts': [{'PartNumber': 1, 'ETag': self.part}]}),
            'REST upload': lambda: self.rest('POST', f'/object/{BUCKET}/rest', data=SMALL),
            'REST upload, in parts': lambda: self.rest('POST', f'/object/{BUCKET}/rest-huge', data=HUGE),
            'REST read': lambda: self.rest('GET', f'/object/{BUCKET}/large'),
            'REST copy': lambda: self.rest('POST', '/object/copy', json={'bucketId': BUCKET, 'sourceKey': 'large', 'destinationKey': 'rest-copy'}),
            'REST move': lambda: self.rest('POST', '/object/move', json={'bucketId': BUCKET, 'sourceKey': 'moved', 'destinationKey': 'away/moved'}),
        }

    def answers(self, but=()):
        """What each operation is answered, all of them side by side: 200, or (status, code)."""
        found, operations = {}, {name: it for name, it in self.operations().items() if name not in but}

        def ask(name, operation):
            try:
                answer = operation()
                found[name] = answer[0] if isinstance(answer, tuple) and answer[0] == 200 else answer if isinstance(answer, tuple) else 200
            except ClientError as error:
                # A Complete that takes long has its status before its error.
                found[name] = error.response['ResponseMetadata']['HTTPStatusCode'], error.response['Error'].get('Code')
            except Exception as error:
                found[name] = repr(error)
        threads = [threading.Thread(target=ask, args=it, daemon=True) for it in operations.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LONG)
        return {name: found.get(name, f'nothing within {LONG} s') for name in operations}

    def all_are_503(self):
        found = self.answers()
        wrong = {name: answer for name, answer in found.items()
                 if not (isinstance(answer, tuple) and answer[0] == 503 and ('REST' in name or answer[1] in ('SlowDown', 'ServiceUnavailable')))}
        same(wrong, {}, 'answers other than 503')

    def is_well(self):
        """The server lives, and is not behind: what needs no service is answered."""
        same(self.s3.head_object(Bucket=BUCKET, Key='small')['ContentLength'], len(SMALL), 'HEAD')


@case
def a_service_that_never_answers(stage):
    stage.proxy.swallow()
    stage.all_are_503()
    stage.is_well()


@case
def access_denied(stage):
    stage.proxy.answer(said('AccessDenied', 403))
    stage.all_are_503()


@case
def no_such_bucket(stage):
    stage.proxy.answer(said('NoSuchBucket', 404))
    stage.all_are_503()


@case
def slow_down(stage):
    stage.proxy.answer(said('SlowDown', 503))
    stage.all_are_503()


@case
def internal_error(stage):
    stage.proxy.answer(said('InternalError', 500))
    stage.all_are_503()


@case
def a_404_of_something_in_between(stage):
    stage.proxy.answer(b'HTTP/1.1 404 Not Found\r\ncontent-type: text/html\r\ncontent-length: 9\r\nconnection: close\r\n\r\nnot here\n')
    stage.all_are_503()


@case
def a_service_that_stops_taking_bytes(stage):
    """A part of a large body is sent again, since others are done already; where all stall, the client hears of it."""
    stage.proxy.stall(MIB, times=1)
    stage.s3.put_object(Bucket=BUCKET, Key='stalled', Body=HUGE)
    same(stage.proxy.hit, 1, 'stalls')
    true(body(stage.s3.get_object(Bucket=BUCKET, Key='stalled')) == HUGE, 'bytes differ')
    stage.proxy.stall(MIB)
    names = ('PutObject, in parts', 'REST upload, in parts', 'UploadPart, large')
    large = {'UploadPart, large': lambda: stage.s3.upload_part(**stage.upload, PartNumber=2, Body=LARGE)}
    all_of_them = {**stage.operations(), **large}
    stage.operations = lambda: {name: all_of_them[name] for name in names}
    try:
        stage.all_are_503()
        true(stage.proxy.hit >= len(names), f'{stage.proxy.hit} stalls')
    finally:
        del stage.operations


@case
def deletions_wait(stage):
    """They are the queue's: a client need not come again."""
    s3 = stage.s3
    for key in ('d/one', 'd/many', 'd/rest', 'd/replaced'):
        s3.put_object(Bucket=BUCKET, Key=key, Body=SMALL)
    stage.proxy.swallow()
    s3.delete_object(Bucket=BUCKET, Key='d/one')
    same([it['Key'] for it in s3.delete_objects(Bucket=BUCKET, Delete={'Objects': [{'Key': 'd/many'}]})['Deleted']], ['d/many'], 'deleted')
    same(stage.rest('DELETE', f'/object/{BUCKET}/d/rest')[0], 200, 'REST delete')
    stage.proxy.well()
    stage.s3.put_object(Bucket=BUCKET, Key='d/replaced', Body=LARGE)


@case
def when_it_is_well_again_everything_works(stage):
    stage.proxy.well()
    joining = 'CompleteMultipartUpload'
    found = stage.answers(but={joining})
    stage.operations()[joining]()
    same({name: answer for name, answer in found.items() if answer != 200}, {}, 'answers')
    for key, data in (('put', SMALL), ('empty', b''), ('huge', HUGE), ('copy', LARGE), ('joined', LARGE), ('rest', SMALL), ('rest-huge', HUGE), ('rest-copy', LARGE), ('away/moved', SMALL)):
        true(body(stage.s3.get_object(Bucket=BUCKET, Key=key)) == data, f'{key}: bytes differ')


@case
def in_the_end_nothing_is_left_of_what_failed(stage):
    """A minute after the last failure: a request that was given up may still have been under way."""
    keys = sorted(key['Key'] for key in stage.s3.list_objects_v2(Bucket=BUCKET)['Contents'])
    wait_for('the ledger to be empty', lambda: stage.server.sql('select count(*) from rowlock.rowlock_pending') == '0', 120, every=0.5)

    def lie():
        return sorted(key.split('/', 2)[2].rsplit('/', 1)[0] for key in stage.there.keys() if key.split('/')[1] == BUCKET)
    wait_for(f'one blob for each object, not {lie()}', lambda: lie() == keys, 60)
    same(stage.there.uploads(), [], 'unfinished uploads')


def run():
    with store() as there:
        proxy = Proxy(there.port)
        environment = there.environment(GLOBAL_S3_ENDPOINT=f'http://127.0.0.1:{proxy.port}', STORAGE_S3_UPLOAD_PART_SIZE=str(PART), ROWLOCK_BLOB_GRACE='1',
                                        STORAGE_S3_CLIENT_TIMEOUT=str(int(TIMEOUT * 1000)))
        with Server(env=environment) as server:
            return run_cases(Stage(there, proxy, server))


if __name__ == '__main__':
    try:
        counts = run()
    except Failure as failure:
        print(f'FAILED s3_away: {failure}')
        counts = (0, 1)
    finish(*counts)
