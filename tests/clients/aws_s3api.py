"""`aws s3api`, each of its commands, with the CLI's default checksums; the README says of each whether it is supported, answered or refused.

Starting the CLI takes longer than any answer: workers start it once, and run the cases' commands side by side.
"""
import json
import os
import pathlib
import queue
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from awscli.clidriver import create_clidriver
from botocore import xform_name

import s3 as s3lib
from aws_cli import write
from harness import Failure, Server, case, contains, finish, run_cases, same, true
from s3model import ELSEWHERE, MISSING, OPERATIONS, classes, smallest

BUCKET = 'api-bucket'
AT_ONCE = 4
# The exit status of the CLI when the server has refused.
REFUSED = 255
DONE = set()
# The CLI has no way to leave out the host name `<route>.` of this one; boto3_model.py calls it.
NOT_HERE = {'WriteGetObjectResponse'}
# The commands that write their answer into a file that is named last.
INTO_FILE = {'GetObjectTorrent', 'SelectObjectContent'}


def command(name):
    return xform_name(name, '-')


class Workers:
    """CLIs that have started, for whoever needs one next."""

    def __init__(self, server):
        env = {'PATH': os.environ['PATH'], 'HOME': str(server.folder), 'AWS_ACCESS_KEY_ID': server.access_key, 'AWS_SECRET_ACCESS_KEY': server.secret_key,
               'AWS_MAX_ATTEMPTS': '1', 'AWS_EC2_METADATA_DISABLED': 'true', 'AWS_DEFAULT_REGION': server.region, 'AWS_ENDPOINT_URL_S3': server.endpoint}
        script = pathlib.Path(__file__).with_name('aws_worker.py')
        self.processes = [subprocess.Popen([sys.executable, str(script)], env=env, cwd=server.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(AT_ONCE)]
        self.free = queue.SimpleQueue()
        for process in self.processes:
            self.free.put(process)

    def run(self, arguments):
        """(status, standard output, standard error) of one command."""
        process = self.free.get()
        try:
            process.stdin.write(json.dumps(arguments) + '\n')
            process.stdin.flush()
            return json.loads(process.stdout.readline())
        finally:
            self.free.put(process)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.stdin.close()
            process.wait()


def aws(server, *args, status=0):
    got, out, err = server.workers.run(['s3api', *args])
    if got != status:
        raise Failure(f'aws s3api {" ".join(args)}: status {got}, want {status}: {out[-300:]!r} {err[-600:]!r}')
    return out + err if status else out


def api(server, name, *args, status=0, **options):
    """One command; its answer as read from JSON, or what the CLI says where it fails."""
    flags = []
    for option, value in options.items():
        flags += ['--' + option.replace('_', '-')]
        if value is not True:
            flags.append(value if isinstance(value, str) else json.dumps(value))
    text = aws(server, command(name), *args, *flags, status=status)
    if status:
        return text
    DONE.add(name)
    return json.loads(text) if text.strip() else {}


def fails(server, name, code, *args, **options):
    contains(api(server, name, *args, status=REFUSED, **options), f'({code})', command(name))


def smallest_command(name):
    """The arguments of the smallest request: as a document, where the CLI does not insist on options."""
    given = smallest(name, bucket=BUCKET, key='kept')
    if name in INTO_FILE:
        options = ((f'--{command(member)}', value if isinstance(value, str) else json.dumps(value)) for member, value in given.items())
        return [text for option in options for text in option] + [f'out-{name}']
    return ['--cli-input-json', json.dumps(given, default=lambda when: when.isoformat())]


def each(function, names):
    """Runs a function for each name, some at once; all failures in one."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        errors = [error for error in pool.map(lambda name: caught(function, name), names) if error]
    if errors:
        raise Failure('; '.join(errors))


def caught(function, *args):
    try:
        function(*args)
        return None
    except Exception as error:
        return f'{getattr(function, "__name__", "")} {args[-1]}: {error}'


@case
def the_cli_has_the_commands_of_the_model(_):
    commands = set(create_clidriver().create_help_command().command_table['s3api'].create_help_command().command_table)
    same(commands - {'wait'}, {command(name) for name in OPERATIONS}, 'commands')


@case
def supported_commands_work(server):
    lanes = [bucket_commands, object_commands, part_commands, list_commands, refused_headers]
    with ThreadPoolExecutor(len(lanes)) as pool:
        errors = [error for error in pool.map(lambda lane: caught(lane, server), lanes) if error]
    if errors:
        raise Failure('; '.join(errors))
    same(sorted(set(classes()['supported']) - DONE), [], 'supported commands that nothing above did')


def bucket_commands(server):
    given = dict(bucket='api-second')
    same(api(server, 'CreateBucket', **given, create_bucket_configuration='LocationConstraint=eu-west-1')['Location'], '/api-second', 'location of the new bucket')
    api(server, 'HeadBucket', **given)
    same([b['Name'] for b in api(server, 'ListBuckets', prefix='api-s')['Buckets']], ['api-second'], 'buckets')
    same(api(server, 'GetBucketLocation', **given)['LocationConstraint'], server.region, 'location')
    api(server, 'PutBucketTagging', **given, tagging='TagSet=[{Key=a,Value=b}]')
    same(api(server, 'GetBucketTagging', **given)['TagSet'], [{'Key': 'a', 'Value': 'b'}], 'tags')
    api(server, 'DeleteBucketTagging', **given)
    api(server, 'DeleteBucket', **given)
    aws(server, 'wait', 'bucket-not-exists', '--bucket', 'api-second')


def object_commands(server):
    s3lib.client(server).create_bucket(Bucket='api-objects')
    given = dict(bucket='api-objects', key='ü/object')
    path = write(server, 'object.txt', b'0123456789')
    put = api(server, 'PutObject', **given, body=str(path), content_type='text/plain', metadata='a=b,c=d', tagging='x=y', if_none_match='*')
    head = api(server, 'HeadObject', **given, checksum_mode='ENABLED')
    same((head['ContentLength'], head['ContentType'], head['Metadata'], head['ETag']), (10, 'text/plain', {'a': 'b', 'c': 'd'}, put['ETag']), 'head')
    # The checksum that the CLI takes by itself comes back.
    sums = {name: value for name, value in put.items() if name.startswith('Checksum')}
    true(sums and all(head[name] == value for name, value in sums.items()), f'checksums: {put} and {head}')
    fails(server, 'PutObject', 'PreconditionFailed', **given, body=str(path), if_none_match='*')
    got = api(server, 'GetObject', 'part.txt', **given, range='bytes=2-4', checksum_mode='ENABLED')
    same((got['ContentRange'], (server.folder / 'part.txt').read_bytes()), ('bytes 2-4/10', b'234'), 'range')
    fails(server, 'GetObject', '304', 'none.txt', **given, if_none_match=put['ETag'])
    attributes = api(server, 'GetObjectAttributes', **given, object_attributes=['ETag', 'ObjectSize', 'Checksum'])
    same((attributes['ETag'], attributes['ObjectSize']), (put['ETag'].strip('"'), 10), 'attributes')
    copy = dict(bucket='api-objects', key='copy')
    same(api(server, 'CopyObject', **copy, copy_source='api-objects/ü/object', metadata_directive='REPLACE', metadata='e=f')['CopyObjectResult']['ETag'], put['ETag'], 'the copy')
    same(api(server, 'HeadObject', **copy)['Metadata'], {'e': 'f'}, 'metadata of the copy')
    same(api(server, 'GetObjectTagging', **copy)['TagSet'], [{'Key': 'x', 'Value': 'y'}], 'tags of the copy')
    api(server, 'PutObjectTagging', **copy, tagging='TagSet=[{Key=z,Value=1}]')
    api(server, 'DeleteObjectTagging', **copy)
    same(api(server, 'GetObjectTagging', **copy)['TagSet'], [], 'no tags')
    fails(server, 'DeleteObject', 'PreconditionFailed', **given, if_match='"other"')
    api(server, 'DeleteObject', **given, if_match=put['ETag'])
    fails(server, 'HeadObject', '404', **given)


def part_commands(server):
    s3lib.client(server).create_bucket(Bucket='api-parts')
    given = dict(bucket='api-parts', key='parts')
    write(server, 'one', s3lib.pattern(5 << 20, 'one'))
    write(server, 'two', b'the end')
    upload = dict(given, upload_id=api(server, 'CreateMultipartUpload', **given, checksum_algorithm='SHA256')['UploadId'])
    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(api, server, 'UploadPart', **upload, part_number='1', body='one', checksum_algorithm='SHA256')
        api(server, 'PutObject', bucket='api-parts', key='source', body='two')
        two = api(server, 'UploadPartCopy', **upload, part_number='2', copy_source='api-parts/source', copy_source_range='bytes=4-6')['CopyPartResult']
        one = one.result()
    parts = [{'PartNumber': n, 'ETag': part['ETag'], 'ChecksumSHA256': part['ChecksumSHA256']} for n, part in ((1, one), (2, two))]
    same([(p['PartNumber'], p['Size']) for p in api(server, 'ListParts', **upload)['Parts']], [(1, 5 << 20), (2, 3)], 'parts')
    same([u['Key'] for u in api(server, 'ListMultipartUploads', bucket='api-parts')['Uploads']], ['parts'], 'uploads')
    done = api(server, 'CompleteMultipartUpload', **upload, multipart_upload={'Parts': parts})
    true(done['ChecksumSHA256'].endswith('-2') and done['ChecksumType'] == 'COMPOSITE', f'checksum: {done}')
    head = api(server, 'HeadObject', **given, part_number='2')
    same((head['ContentLength'], head['PartsCount']), (3, 2), 'the second part')
    upload = dict(given, upload_id=api(server, 'CreateMultipartUpload', **given)['UploadId'])
    api(server, 'AbortMultipartUpload', **upload)
    fails(server, 'ListParts', 'NoSuchUpload', **upload)


def list_commands(server):
    s3 = s3lib.client(server)
    s3.create_bucket(Bucket='api-lists')
    for key in ('a', 'b/1', 'b/2', 'c d'):
        s3.put_object(Bucket='api-lists', Key=key, Body=b'')
    given = dict(bucket='api-lists')
    page = api(server, 'ListObjects', **given, delimiter='/')
    same(([o['Key'] for o in page['Contents']], [p['Prefix'] for p in page['CommonPrefixes']]), (['a', 'c d'], ['b/']), 'list-objects')
    page = api(server, 'ListObjectsV2', **given, max_items='3', page_size='1')
    rest = api(server, 'ListObjectsV2', **given, starting_token=page['NextToken'])
    same([o['Key'] for o in page['Contents'] + rest['Contents']], ['a', 'b/1', 'b/2', 'c d'], 'list-objects-v2')
    same([v['Key'] for v in api(server, 'ListObjectVersions', **given, prefix='b')['Versions']], ['b/1', 'b/2'], 'list-object-versions')
    answer = api(server, 'DeleteObjects', **given, delete={'Objects': [{'Key': 'a'}, {'Key': 'b/1'}]})
    same([d['Key'] for d in answer['Deleted']], ['a', 'b/1'], 'delete-objects')


def refused_headers(server):
    s3lib.client(server).create_bucket(Bucket='api-headers')
    for code, options in (('AccessControlListNotSupported', dict(acl='public-read')), ('InvalidStorageClass', dict(storage_class='GLACIER')),
                          ('NotImplemented', dict(server_side_encryption='AES256')), ('NotImplemented', dict(object_lock_legal_hold_status='ON')),
                          ('AccessDenied', dict(expected_bucket_owner='111122223333'))):
        fails(server, 'PutObject', code, bucket='api-headers', key='k', **options)
    api(server, 'PutObject', bucket='api-headers', key='fits', acl='bucket-owner-full-control', storage_class='STANDARD')
    same(s3lib.keys(s3lib.client(server).list_objects_v2(Bucket='api-headers')), ['fits'], 'objects')


@case
def answered_commands_tell_what_was_never_set(server):
    s3 = s3lib.client(server)
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key='kept', Body=b'kept')

    def answered(name):
        code = MISSING.get(name)
        text = api(server, name, *smallest_command(name), status=REFUSED if code else 0)
        if code:
            contains(text, f'({code})', 'the error')
    each(answered, classes()['answered'])


@case
def refused_commands_say_so_and_change_nothing(server):
    s3 = s3lib.client(server)

    def state():
        return s3.get_object(Bucket=BUCKET, Key='kept')['LastModified'], s3lib.keys(s3.list_objects_v2(Bucket=BUCKET)), [b['Name'] for b in s3.list_buckets()['Buckets']]
    before = state()

    def refused(name):
        contains(api(server, name, *smallest_command(name), status=REFUSED), f'({"AuthorizationHeaderMalformed" if name in ELSEWHERE else "NotImplemented"})', 'the error')
    each(refused, sorted(set(classes()['refused']) - NOT_HERE))
    same(state(), before, 'bucket and object')


if __name__ == '__main__':
    with Server() as running, Workers(running) as running.workers:
        counts = run_cases(running)
    finish(*counts)
