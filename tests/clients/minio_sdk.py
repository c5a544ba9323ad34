"""MinIO's Python client, as its users use it; it knows hosts only, so nginx stands in front."""
import datetime
import io
import urllib.request

import requests
from minio import Minio
from minio.commonconfig import ComposeSource, CopySource, REPLACE, Tags
from minio.datatypes import PostPolicy
from minio.deleteobjects import DeleteObject
from minio.error import S3Error

from s3 import pattern
from harness import Failure, Server, case, finish, run_cases, same, true
from rooted import Rooted

BUCKET = 'minio-bucket'
DATA = pattern(11 * 1024 * 1024 + 3, 'minio')


def client(server):
    return Minio(server.rooted, access_key=server.access_key, secret_key=server.secret_key, secure=False, region=server.region)


def refused(call, code):
    try:
        call()
    except S3Error as error:
        return same(error.code, code, 'error code')
    raise Failure(f'succeeded where {code} was due')


@case
def buckets(server):
    m = client(server)
    true(not m.bucket_exists(BUCKET), 'no bucket yet')
    m.make_bucket(BUCKET)
    true(m.bucket_exists(BUCKET) and BUCKET in [b.name for b in m.list_buckets()], 'the bucket')
    same(m.get_bucket_versioning(BUCKET).status, None, 'versioning')
    refused(lambda: m.get_bucket_policy(BUCKET), 'NoSuchBucketPolicy')
    for empty in (m.get_bucket_tags, m.get_bucket_lifecycle, m.get_bucket_encryption, m.get_bucket_replication):
        same(empty(BUCKET), None, empty.__name__)
    tags = Tags.new_bucket_tags()
    tags['team'] = 'storage'
    m.set_bucket_tags(BUCKET, tags)
    same(dict(m.get_bucket_tags(BUCKET)), {'team': 'storage'}, 'bucket tags')
    m.delete_bucket_tags(BUCKET)


@case
def objects(server):
    m = client(server)
    tags = Tags.new_object_tags()
    tags['a'] = 'b c'
    m.put_object(BUCKET, 'a b/ü+%&.txt', io.BytesIO(b'hello'), 5, content_type='text/x-odd', metadata={'colour': 'red'}, tags=tags)
    stat = m.stat_object(BUCKET, 'a b/ü+%&.txt')
    same((stat.size, stat.content_type, stat.metadata['x-amz-meta-colour']), (5, 'text/x-odd', 'red'), 'stat')
    same(m.get_object(BUCKET, 'a b/ü+%&.txt').read(), b'hello', 'bytes')
    same(dict(m.get_object_tags(BUCKET, 'a b/ü+%&.txt')), {'a': 'b c'}, 'tags')
    m.delete_object_tags(BUCKET, 'a b/ü+%&.txt')
    same(m.get_object_tags(BUCKET, 'a b/ü+%&.txt'), None, 'tags after their deletion')
    refused(lambda: m.stat_object(BUCKET, 'absent'), 'NoSuchKey')


@case
def large_objects_go_in_parts(server):
    m = client(server)
    # A stream of unknown length, too.
    for length in (len(DATA), -1):
        m.put_object(BUCKET, 'large', io.BytesIO(DATA), length, part_size=5 * 1024 * 1024)
        true(m.get_object(BUCKET, 'large').read() == DATA, 'bytes differ')
    same(m.get_object(BUCKET, 'large', offset=5 * 1024 * 1024 - 2, length=4).read(), DATA[5 * 1024 * 1024 - 2:5 * 1024 * 1024 + 2], 'a range')
    m.compose_object(BUCKET, 'composed', [ComposeSource(BUCKET, 'large'), ComposeSource(BUCKET, 'large')])
    true(m.get_object(BUCKET, 'composed').read() == DATA * 2, 'composed')


@case
def copies_lists_and_deletes(server):
    m = client(server)
    m.copy_object(BUCKET, 'copy', CopySource(BUCKET, 'large'))
    m.copy_object(BUCKET, 'copy', CopySource(BUCKET, 'copy'), metadata={'new': '1'}, metadata_directive=REPLACE)
    same(m.stat_object(BUCKET, 'copy').metadata['x-amz-meta-new'], '1', 'metadata')
    same(sorted(o.object_name for o in m.list_objects(BUCKET)), ['a b/', 'composed', 'copy', 'large'], 'folders')
    names = sorted(o.object_name for o in m.list_objects(BUCKET, recursive=True))
    same(names, ['a b/ü+%&.txt', 'composed', 'copy', 'large'], 'recursive')
    same(sorted(o.object_name for o in m.list_objects(BUCKET, recursive=True, include_version=True)), names, 'versions')
    same(list(m.remove_objects(BUCKET, [DeleteObject('copy'), DeleteObject('composed')])), [], 'errors of a mass delete')
    same(sorted(o.object_name for o in m.list_objects(BUCKET, recursive=True)), ['a b/ü+%&.txt', 'large'], 'what is left')


@case
def urls_and_forms(server):
    m = client(server)
    url = m.presigned_get_object(BUCKET, 'large', expires=datetime.timedelta(minutes=1))
    true(urllib.request.urlopen(url).read() == DATA, 'presigned GET')
    url = m.presigned_put_object(BUCKET, 'put', expires=datetime.timedelta(minutes=1))
    same(requests.put(url, data=b'put', timeout=30).status_code, 200, 'presigned PUT')
    policy = PostPolicy(BUCKET, datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=5))
    policy.add_starts_with_condition('key', 'form/')
    policy.add_content_length_range_condition(1, 100)
    fields = {**m.presigned_post_policy(policy), 'key': 'form/x'}
    send = lambda data, **more: requests.post(f'http://{server.rooted}/{BUCKET}', data={**fields, **more}, files={'file': ('x', data)}, timeout=30).status_code
    same((send(b'form'), send(b'x' * 101), send(b'x', key='other')), (204, 400, 403), 'forms')
    same(m.get_object(BUCKET, 'form/x').read(), b'form', 'the form upload')


if __name__ == '__main__':
    with Server() as server, Rooted(server) as host:
        server.rooted = host
        counts = run_cases(server)
    finish(*counts)
