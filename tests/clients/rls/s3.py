"""Every operation of S3, as a request and as SQL."""
import json

import requests
from botocore.exceptions import ClientError

from rls.operations import S3, Headless, operation
from rls.oracle import Refused, md5
from rls.rest import ListBuckets
from rls.world import NEW


def asked(call, tell=None):
    """Status, code and what `tell` reads from a good answer."""
    try:
        answer = call()
    except ClientError as error:
        code = error.response['Error']['Code']
        return error.response['ResponseMetadata']['HTTPStatusCode'], None if code.isdigit() else code, None
    return answer['ResponseMetadata']['HTTPStatusCode'], None, tell(answer) if tell else None


def s3(name, label, ask, sql, base=S3, **fields):
    """Registers an operation of S3: `ask` calls the client with the target, and may return what reads the answer too."""
    class It(base):
        def ask(c, t):
            call, *tell = ask(c, t)
            return asked(call, *tell)
    It.sql = sql
    It.__name__ = label
    operation(name, **fields)(It)


class S3Headless(Headless, S3):
    """As S3 answers HEAD."""


def of(t, key='key'):
    return {'Bucket': t.bucket, 'Key': getattr(t, key)}


def seen(key='key', told=None):
    def sql(q, t):
        q.seen(t.bucket, getattr(t, key))
        return told(t) if told else None
    return sql


def bucket_seen(q, t):
    q.bucket(t.bucket)


def new_bucket(q, t):
    q.user('insert into storage.buckets (id, name, owner, owner_id, public) values (%s, %s, %s, %s, false)', t.made, t.made, q.caller.sub, q.caller.sub)


def bucket_taken(q, t):
    visible = q.tested('select 1 from storage.buckets where id = %s', t.hollow)
    try:
        q.user('insert into storage.buckets (id, name, owner, owner_id, public) values (%s, %s, %s, %s, false)', t.hollow, t.hollow, q.caller.sub, q.caller.sub)
    except Refused as refused:
        raise Refused({'KeyAlreadyExists': 'BucketAlreadyOwnedByYou' if visible else 'BucketAlreadyExists'}.get(refused.code, refused.code)) from None


def bucket_deleted(q, t):
    q.bucket(t.hollow)
    if not q.user('delete from storage.buckets where id = %s returning id', t.hollow):
        raise Refused('AccessDenied')


def bucket_full(q, t):
    q.bucket(t.bucket)
    raise Refused('BucketNotEmpty')


s3('storage.s3.bucket.list', 'ListBuckets', lambda c, t: (c.s3.list_buckets, lambda a: sorted(b['Name'] for b in a['Buckets'])), ListBuckets.sql)
s3('storage.s3.bucket.create', 'CreateBucket', lambda c, t: (lambda: c.s3.create_bucket(Bucket=t.made),), new_bucket)
s3('storage.s3.bucket.create', 'CreateBucket again', lambda c, t: (lambda: c.s3.create_bucket(Bucket=t.hollow),), bucket_taken)
s3('storage.s3.bucket.head', 'HeadBucket', lambda c, t: (lambda: c.s3.head_bucket(Bucket=t.bucket),), bucket_seen, S3Headless)
s3('storage.s3.bucket.get_location', 'GetBucketLocation', lambda c, t: (lambda: c.s3.get_bucket_location(Bucket=t.bucket),), bucket_seen)
s3('storage.s3.bucket.get_versioning', 'GetBucketVersioning', lambda c, t: (lambda: c.s3.get_bucket_versioning(Bucket=t.bucket),), bucket_seen)
s3('storage.s3.bucket.get', 'GetBucketAcl', lambda c, t: (lambda: c.s3.get_bucket_acl(Bucket=t.bucket),), bucket_seen)
s3('storage.s3.bucket.get', 'GetBucketLogging', lambda c, t: (lambda: c.s3.get_bucket_logging(Bucket=t.bucket),), bucket_seen)
s3('storage.s3.bucket.delete', 'DeleteBucket', lambda c, t: (lambda: c.s3.delete_bucket(Bucket=t.hollow),), bucket_deleted, status=204)
s3('storage.s3.bucket.delete', 'DeleteBucket full', lambda c, t: (lambda: c.s3.delete_bucket(Bucket=t.bucket),), bucket_full)


def bucket_tags(q, t):
    q.bucket(t.bucket)
    raise Refused('NoSuchTagSet')


def bucket_tagged(q, t):
    if not q.user('update storage.buckets set updated_at = now() where id = %s returning id', t.bucket):
        q.bucket(t.bucket)
        raise Refused('AccessDenied')
    q.tags(t.bucket, {'a': '1'})


def bucket_untagged(q, t):
    if not q.user('update storage.buckets set updated_at = now() where id = %s returning id', t.bucket):
        q.bucket(t.bucket)
        raise Refused('AccessDenied')


TAGS = {'TagSet': [{'Key': 'a', 'Value': '1'}]}
s3('storage.s3.bucket.get_tagging', 'GetBucketTagging', lambda c, t: (lambda: c.s3.get_bucket_tagging(Bucket=t.bucket),), bucket_tags)
s3('storage.s3.bucket.put_tagging', 'PutBucketTagging', lambda c, t: (lambda: c.s3.put_bucket_tagging(Bucket=t.bucket, Tagging=TAGS),), bucket_tagged, status=204)
s3('storage.s3.bucket.delete_tagging', 'DeleteBucketTagging', lambda c, t: (lambda: c.s3.delete_bucket_tagging(Bucket=t.bucket),), bucket_untagged, status=204)


def keys(answer):
    return [entry['Key'] for entry in answer.get('Contents', [])]


def all_seen(q, t):
    return q.names(t.bucket)


def prefixes(answer):
    return [entry['Prefix'] for entry in answer.get('CommonPrefixes', [])]


s3('storage.s3.object.list', 'ListObjects', lambda c, t: (lambda: c.s3.list_objects(Bucket=t.bucket), keys), all_seen)
s3('storage.s3.object.list', 'ListObjectsV2', lambda c, t: (lambda: c.s3.list_objects_v2(Bucket=t.bucket), keys), all_seen)
s3('storage.s3.object.list', 'ListObjectsV2 folded', lambda c, t: (lambda: c.s3.list_objects_v2(Bucket=t.bucket, Delimiter='/'), prefixes), lambda q, t: q.folded(t.bucket))
s3('storage.s3.object.list', 'ListObjectVersions', lambda c, t: (lambda: c.s3.list_object_versions(Bucket=t.bucket), lambda a: [v['Key'] for v in a.get('Versions', [])]), all_seen)


def put(key, **more):
    """As a PUT: the test is that of an upsert always; `If-None-Match` is another question."""
    def sql(q, t):
        q.may_write(t.bucket, getattr(t, key), {'mimetype': t.kind, 'contentLength': len(NEW), 'size': len(NEW)})
        if more and q.service('select 1 from storage.objects where bucket_id = %s and name = %s', t.bucket, getattr(t, key)):
            raise Refused('PreconditionFailed')
        q.written(t.bucket, getattr(t, key), t.kind, NEW)
    label = f'PutObject {key} {"".join(more)}'
    s3('storage.s3.upload', label, lambda c, t: (lambda: c.s3.put_object(Body=NEW, ContentType=t.kind, **of(t, key), **more),), sql)


for key in ('new', 'key', 'other', 'elsewhere'):
    put(key)
put('new', IfNoneMatch='*')
put('key', IfNoneMatch='*')


@operation('storage.s3.upload', status=204)
class PostObject(S3):
    def ask(c, t):
        form = c.s3.generate_presigned_post(t.bucket, t.new, Fields={'Content-Type': t.kind}, Conditions=[{'Content-Type': t.kind}])
        answer = requests.post(form['url'], data=form['fields'], files={'file': ('name', NEW)}, timeout=60)
        return answer.status_code, answer.text.split('<Code>')[1].split('<')[0] if '<Code>' in answer.text else None, None

    def sql(q, t):
        q.may_write(t.bucket, t.new, {'mimetype': t.kind})
        q.written(t.bucket, t.new, t.kind, NEW)


def of_target(t):
    return t.content


s3('storage.s3.object.get', 'GetObject', lambda c, t: (lambda: c.s3.get_object(**of(t)), lambda a: a['Body'].read()), seen(told=of_target))
s3('storage.s3.object.get', "GetObject another's", lambda c, t: (lambda: c.s3.get_object(**of(t, 'other')), lambda a: a['Body'].read()), seen('other', lambda t: t.other_content))
s3('storage.s3.object.info', 'HeadObject', lambda c, t: (lambda: c.s3.head_object(**of(t)), lambda a: a['ContentLength']), seen(told=lambda t: len(t.content)), S3Headless)
s3('storage.s3.object.get_attributes', 'GetObjectAttributes', lambda c, t: (lambda: c.s3.get_object_attributes(ObjectAttributes=['ObjectSize'], **of(t)), lambda a: a['ObjectSize']), seen(told=lambda t: len(t.content)))
s3('storage.s3.object.info', 'GetObjectAcl', lambda c, t: (lambda: c.s3.get_object_acl(**of(t)),), seen())


def no_retention(q, t):
    q.seen(t.bucket, t.key)
    raise Refused('NoSuchObjectLockConfiguration')


s3('storage.s3.object.info', 'GetObjectRetention', lambda c, t: (lambda: c.s3.get_object_retention(**of(t)),), no_retention)


@operation('storage.s3.object.get')
class GetPresigned(S3):
    def ask(c, t):
        answer = requests.get(c.s3.generate_presigned_url('get_object', Params=of(t)), timeout=60)
        good = answer.status_code == 200
        return answer.status_code, None if good else answer.text.split('<Code>')[1].split('<')[0], answer.content if good else None

    sql = seen(told=of_target)


def tagged(change):
    def sql(q, t):
        q.seen(t.bucket, t.key)
        if not q.user(f'update storage.objects set metadata = {change} where bucket_id = %s and name = %s returning 1', t.bucket, t.key):
            raise Refused('AccessDenied')
    return sql


s3('storage.s3.object.get_tagging', 'GetObjectTagging', lambda c, t: (lambda: c.s3.get_object_tagging(**of(t)), lambda a: a['TagSet']), seen(told=lambda t: []))
s3('storage.s3.object.put_tagging', 'PutObjectTagging', lambda c, t: (lambda: c.s3.put_object_tagging(Tagging=TAGS, **of(t)),), tagged("""metadata || '{"rowlock": {"tags": {"a": "1"}}}'"""))
s3('storage.s3.object.delete_tagging', 'DeleteObjectTagging', lambda c, t: (lambda: c.s3.delete_object_tagging(**of(t)),), tagged("metadata #- '{rowlock,tags}'"), status=204)


def s3_copy(place, to):
    def sql(q, t):
        q.copy(t.bucket, getattr(t, place), getattr(t, to), t.content if place == 'key' else t.other_content)
    s3('storage.s3.object.copy', f'CopyObject {place} to {to}', lambda c, t: (lambda: c.s3.copy_object(CopySource=of(t, place), **of(t, to)),), sql)


for place, to in (('key', 'new'), ('key', 'elsewhere'), ('other', 'new'), ('key', 'other')):
    s3_copy(place, to)


def s3_deleted(q, t):
    if q.delete_s3(t.bucket, [t.key]):
        raise Refused('AccessDenied')


s3('storage.s3.object.delete', 'DeleteObject', lambda c, t: (lambda: c.s3.delete_object(**of(t)),), s3_deleted, status=204)
s3('storage.s3.object.delete_many', 'DeleteObjects', lambda c, t: (
    lambda: c.s3.delete_objects(Bucket=t.bucket, Delete={'Objects': [{'Key': key} for key in (t.key, t.other, t.new)]}),
    lambda a: [(e['Code'], e['Key']) for e in sorted(a.get('Errors', []), key=lambda e: e['Key'])]),
    lambda q, t: [('AccessDenied', key) for key in q.delete_s3(t.bucket, [t.key, t.other, t.new])])


# ---------------------------------------------------------------- multipart uploads

def begun(q, t):
    q.may_write(t.bucket, t.new, {'mimetype': t.kind})
    q.service("insert into storage.s3_multipart_uploads (id, upload_signature, bucket_id, key, version, owner_id, metadata) values ('new', '', %s, %s, 'new', %s, %s)",
              t.bucket, t.new, q.caller.sub, json.dumps({'mimetype': t.kind}))


def part(number, content, length=None):
    def sql(q, t):
        if content is None:
            q.seen(t.bucket, t.key)
        q.own_upload(t)
        bytes_ = t.content if content is None else content
        q.may_write(t.bucket, t.new, {'mimetype': t.kind, 'contentLength': len(bytes_)})
        q.service("insert into storage.s3_multipart_uploads_parts (upload_id, size, part_number, bucket_id, key, etag, version) values (%s, %s, %s, %s, %s, %s, 'new')",
                  t.upload, len(bytes_), number, t.bucket, t.new, md5(bytes_))
    return sql


def completed(q, t):
    q.own_upload(t)
    q.may_write(t.bucket, t.new, {'mimetype': t.kind})
    q.service('delete from storage.s3_multipart_uploads where id = %s', t.upload)
    q.written(t.bucket, t.new, t.kind, NEW, etag=f'"{md5(bytes.fromhex(md5(NEW)))}-1"')


def aborted(q, t):
    q.own_upload(t)
    q.may_write(t.bucket, t.new, {'mimetype': t.kind})
    q.service('delete from storage.s3_multipart_uploads where id = %s', t.upload)


def parts(q, t):
    q.own_upload(t)
    return [row[0] for row in q.service('select part_number from storage.s3_multipart_uploads_parts where upload_id = %s order by 1', t.upload)]


def uploads(q, t):
    # One's own.
    rows = q.service('select key, owner_id from storage.s3_multipart_uploads where bucket_id = %s', t.bucket)
    return [key for key, owner in rows if q.caller.is_service or (owner and owner == q.caller.sub)]


def pending(t, **more):
    return {**of(t, 'new'), 'UploadId': t.upload, **more}


MULTIPART = 'storage.s3.upload.'
s3(MULTIPART + 'create_multipart', 'CreateMultipartUpload', lambda c, t: (lambda: c.s3.create_multipart_upload(ContentType=t.kind, **of(t, 'new')),), begun)
s3(MULTIPART + 'part', 'UploadPart', lambda c, t: (lambda: c.s3.upload_part(PartNumber=2, Body=b'part', **pending(t)),), part(2, b'part'))
s3(MULTIPART + 'part_copy', 'UploadPartCopy', lambda c, t: (lambda: c.s3.upload_part_copy(PartNumber=2, CopySource=of(t), **pending(t)),), part(2, None))
s3(MULTIPART + 'complete_multipart', 'CompleteMultipartUpload', lambda c, t: (
    lambda: c.s3.complete_multipart_upload(MultipartUpload={'Parts': [{'PartNumber': 1, 'ETag': t.etag}]}, **pending(t)),), completed)
s3(MULTIPART + 'abort_multipart', 'AbortMultipartUpload', lambda c, t: (lambda: c.s3.abort_multipart_upload(**pending(t)),), aborted, status=204)
s3(MULTIPART + 'list_parts', 'ListParts', lambda c, t: (lambda: c.s3.list_parts(**pending(t)), lambda a: [p['PartNumber'] for p in a.get('Parts', [])]), parts)
s3(MULTIPART + 'list_multipart', 'ListMultipartUploads', lambda c, t: (lambda: c.s3.list_multipart_uploads(Bucket=t.bucket), lambda a: [u['Key'] for u in a.get('Uploads', [])]), uploads)
