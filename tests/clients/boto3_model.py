"""boto3: each operation that AWS's model of S3 has, called once; the README says of each whether it is supported, answered or refused."""
import re

from botocore import xform_name

from s3 import body, client, keys, pattern, refused
from s3model import ELSEWHERE, MISSING, OPERATIONS, classes, readme_rows, smallest, supported_in
from harness import case, main, same, true

BUCKET = 'model-bucket'
KEY = 'kept'
DONE = set()


def watched(server):
    """A client that notes which operations have succeeded."""
    s3 = client(server, inject_host_prefix=False)

    def note(model, http_response, **_):
        if http_response.status_code < 300:
            DONE.add(model.name)
    s3.meta.events.register('after-call.s3', note)
    return s3


def state(s3):
    """All that a refused write could have changed."""
    head = s3.head_object(Bucket=BUCKET, Key=KEY)
    return (body(s3.get_object(Bucket=BUCKET, Key=KEY)), head['ETag'], head['LastModified'], head['Metadata'], keys(s3.list_objects_v2(Bucket=BUCKET)),
            s3.get_object_tagging(Bucket=BUCKET, Key=KEY)['TagSet'], s3.get_bucket_tagging(Bucket=BUCKET)['TagSet'],
            [b['Name'] for b in s3.list_buckets()['Buckets']], len(s3.list_multipart_uploads(Bucket=BUCKET).get('Uploads', [])))


@case
def the_readme_names_nothing_that_does_not_exist(_):
    rows = readme_rows()
    # A form that browsers send is no operation of the SDKs.
    same(supported_in(rows['supported']) - {'PostObject'} - set(OPERATIONS), set(), 'supported operations that no model has')
    of_bucket, _, of_objects = rows['answered'].partition('of objects')
    for cell, path in ((of_bucket, '/{Bucket}'), (of_objects, '/{Bucket}/{Key+}')):
        named = set(re.findall(r'`([^`]+)`', cell))
        known = {o.http['requestUri'].partition('?')[2] for o in OPERATIONS.values() if o.http['method'] == 'GET' and o.http['requestUri'].startswith(path + '?')}
        true(named, f'no sub-resource of {path} is named')
        same(named - known, set(), f'sub-resources of {path} that no model has')


@case
def refused_operations_say_so_and_change_nothing(server):
    s3 = watched(server)
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key=KEY, Body=b'kept', Metadata={'a': 'b'}, Tagging='c=d')
    s3.put_bucket_tagging(Bucket=BUCKET, Tagging={'TagSet': [{'Key': 'e', 'Value': 'f'}]})
    before, names = state(s3), classes()['refused']
    true(len(names) > 50, f'only {len(names)} operations')
    for name in names:
        want = ('AuthorizationHeaderMalformed', 400) if name in ELSEWHERE else ('NotImplemented', 501)
        refused(lambda: getattr(s3, xform_name(name))(**smallest(name, bucket=BUCKET, key=KEY)), *want)
    same(state(s3), before, 'bucket and object')


@case
def answered_operations_tell_what_was_never_set(server):
    s3, names = watched(server), classes()['answered']
    same(set(MISSING) - set(names), set(), 'answers of operations that are not in the table')
    for name in names:
        call = getattr(s3, xform_name(name))
        given = smallest(name, bucket=BUCKET, key=KEY)
        if name in MISSING:
            refused(lambda: call(**given), MISSING[name], 404)
        else:
            call(**given)
        refused(lambda: call(**{**given, 'Bucket': 'no-such-bucket'}), 'NoSuchBucket', 404)


@case
def buckets(server):
    s3 = watched(server)
    s3.create_bucket(Bucket='model-second', CreateBucketConfiguration={'LocationConstraint': 'eu-west-1'})
    same([b['Name'] for b in s3.list_buckets(Prefix='model-')['Buckets']], [BUCKET, 'model-second'], 'buckets')
    same(s3.get_bucket_location(Bucket='model-second')['LocationConstraint'], server.region, 'location')
    s3.head_bucket(Bucket='model-second')
    s3.put_bucket_tagging(Bucket='model-second', Tagging={'TagSet': [{'Key': 'a', 'Value': 'ü'}]})
    same(s3.get_bucket_tagging(Bucket='model-second')['TagSet'], [{'Key': 'a', 'Value': 'ü'}], 'tags')
    s3.delete_bucket_tagging(Bucket='model-second')
    refused(lambda: s3.get_bucket_tagging(Bucket='model-second'), 'NoSuchTagSet', 404)
    s3.delete_bucket(Bucket='model-second')
    refused(lambda: s3.head_bucket(Bucket='model-second'), '404', 404)


@case
def objects(server):
    s3, given = watched(server), dict(Bucket=BUCKET, Key='object')
    tag = s3.put_object(**given, Body=b'0123456789', ContentType='text/plain', Metadata={'a': 'b'}, IfNoneMatch='*')['ETag']
    refused(lambda: s3.put_object(**given, Body=b'', IfNoneMatch='*'), 'PreconditionFailed', 412)
    same(body(s3.get_object(**given, Range='bytes=2-4', IfMatch=tag)), b'234', 'range')
    head = s3.head_object(**given, ChecksumMode='ENABLED')
    same((head['ContentLength'], head['ContentType'], head['Metadata'], head['ETag']), (10, 'text/plain', {'a': 'b'}, tag), 'head')
    attributes = s3.get_object_attributes(**given, ObjectAttributes=['ETag', 'ObjectSize', 'StorageClass'])
    same((attributes['ETag'], attributes['ObjectSize'], attributes['StorageClass']), (tag.strip('"'), 10, 'STANDARD'), 'attributes')
    s3.put_object_tagging(**given, Tagging={'TagSet': [{'Key': 'x', 'Value': 'y'}]})
    same(s3.get_object_tagging(**given)['TagSet'], [{'Key': 'x', 'Value': 'y'}], 'tags')
    s3.copy_object(Bucket=BUCKET, Key='copy', CopySource={'Bucket': BUCKET, 'Key': 'object'}, CopySourceIfMatch=tag)
    same(s3.get_object_tagging(Bucket=BUCKET, Key='copy')['TagSet'], [{'Key': 'x', 'Value': 'y'}], 'tags of the copy')
    s3.delete_object_tagging(**given)
    same(s3.get_object_tagging(**given)['TagSet'], [], 'no tags')
    refused(lambda: s3.delete_object(**given, IfMatch='"other"'), 'PreconditionFailed', 412)
    s3.delete_object(**given, IfMatch=tag)
    refused(lambda: s3.head_object(**given), '404', 404)


@case
def uploads_by_parts(server):
    s3, given = watched(server), dict(Bucket=BUCKET, Key='parts')
    data = pattern(5 << 20, 'model')
    upload = dict(given, UploadId=s3.create_multipart_upload(**given)['UploadId'])
    one = s3.upload_part(**upload, PartNumber=1, Body=data)
    s3.put_object(Bucket=BUCKET, Key='source', Body=data)
    two = s3.upload_part_copy(**upload, PartNumber=2, CopySource={'Bucket': BUCKET, 'Key': 'source'}, CopySourceRange='bytes=0-99')
    tags = [one['ETag'], two['CopyPartResult']['ETag']]
    same([(p['PartNumber'], p['Size'], p['ETag']) for p in s3.list_parts(**upload)['Parts']], [(1, 5 << 20, tags[0]), (2, 100, tags[1])], 'parts')
    same([u['Key'] for u in s3.list_multipart_uploads(Bucket=BUCKET)['Uploads']], ['parts'], 'uploads')
    s3.complete_multipart_upload(**upload, MultipartUpload={'Parts': [{'PartNumber': n, 'ETag': tag} for n, tag in enumerate(tags, 1)]})
    same(body(s3.get_object(**given)) == data + data[:100], True, 'the bytes')
    upload = dict(given, UploadId=s3.create_multipart_upload(**given)['UploadId'])
    s3.abort_multipart_upload(**upload)
    refused(lambda: s3.list_parts(**upload), 'NoSuchUpload', 404)


@case
def lists_and_deletes(server):
    s3 = watched(server)
    for name in ('l/a', 'l/b/1', 'l/b/2'):
        s3.put_object(Bucket=BUCKET, Key=name, Body=b'')
    page = s3.list_objects(Bucket=BUCKET, Prefix='l/', Delimiter='/')
    same((keys(page), [p['Prefix'] for p in page['CommonPrefixes']]), (['l/a'], ['l/b/']), 'ListObjects')
    page = s3.list_objects_v2(Bucket=BUCKET, Prefix='l/', MaxKeys=2)
    rest = s3.list_objects_v2(Bucket=BUCKET, Prefix='l/', ContinuationToken=page['NextContinuationToken'])
    same(keys(page) + keys(rest), ['l/a', 'l/b/1', 'l/b/2'], 'ListObjectsV2')
    same([(v['Key'], v['VersionId'], v['IsLatest']) for v in s3.list_object_versions(Bucket=BUCKET, Prefix='l/b/')['Versions']], [('l/b/1', 'null', True), ('l/b/2', 'null', True)], 'versions')
    answer = s3.delete_objects(Bucket=BUCKET, Delete={'Objects': [{'Key': k} for k in ('l/a', 'l/b/1', 'l/b/2', 'l/none')]})
    same([d['Key'] for d in answer['Deleted']], ['l/a', 'l/b/1', 'l/b/2', 'l/none'], 'deleted')
    same(keys(s3.list_objects_v2(Bucket=BUCKET, Prefix='l/')), [], 'what is left')


@case
def every_supported_operation_has_succeeded(_):
    same(sorted(set(classes()['supported']) - DONE), [], 'supported operations that no case above did')


if __name__ == '__main__':
    main()
