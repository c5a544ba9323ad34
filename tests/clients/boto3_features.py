"""boto3: what S3 documents beyond objects and lists: sub-resources, checksums, parts by number, attributes, tags, conditional deletes."""
import base64
import hashlib
import urllib.request
import zlib


from s3 import body, client, pattern, raw, refused
from harness import case, contains, main, same, true

BUCKET = 'features-bucket'
PART = 5 * 1024 * 1024
DATA = pattern(2 * PART + 1234, 'features')
PARTS = [DATA[:PART], DATA[PART:2 * PART], DATA[2 * PART:]]


def crc32(data):
    return base64.b64encode(zlib.crc32(data).to_bytes(4, 'big')).decode()


def sha256(data):
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def composite(parts):
    return base64.b64encode(hashlib.sha256(b''.join(hashlib.sha256(p).digest() for p in parts)).digest()).decode() + f'-{len(parts)}'


# ---------------------------------------------------------------- sub-resources

@case
def sub_resources_that_were_never_set_are_missing(server):
    s3 = client(server)
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key='k', Body=b'x')
    for call, code in ((s3.get_bucket_policy, 'NoSuchBucketPolicy'), (s3.get_bucket_policy_status, 'NoSuchBucketPolicy'), (s3.get_bucket_cors, 'NoSuchCORSConfiguration'),
                       (s3.get_bucket_lifecycle_configuration, 'NoSuchLifecycleConfiguration'), (s3.get_bucket_tagging, 'NoSuchTagSet'),
                       (s3.get_bucket_website, 'NoSuchWebsiteConfiguration'), (s3.get_bucket_encryption, 'ServerSideEncryptionConfigurationNotFoundError'),
                       (s3.get_bucket_replication, 'ReplicationConfigurationNotFoundError'), (s3.get_object_lock_configuration, 'ObjectLockConfigurationNotFoundError'),
                       (s3.get_public_access_block, 'NoSuchPublicAccessBlockConfiguration'), (s3.get_bucket_ownership_controls, 'OwnershipControlsNotFoundError')):
        refused(lambda: call(Bucket=BUCKET), code, 404)
        refused(lambda: call(Bucket='no-such-bucket'), 'NoSuchBucket', 404)
    for call in (s3.get_object_retention, s3.get_object_legal_hold):
        refused(lambda: call(Bucket=BUCKET, Key='k'), 'NoSuchObjectLockConfiguration', 404)
        refused(lambda: call(Bucket=BUCKET, Key='absent'), 'NoSuchKey', 404)


@case
def sub_resources_with_a_default_answer_it(server):
    s3 = client(server)
    true('Status' not in s3.get_bucket_versioning(Bucket=BUCKET), 'a bucket that never had versions tells no status')
    same(s3.get_bucket_request_payment(Bucket=BUCKET)['Payer'], 'BucketOwner', 'payer')
    true('Status' not in s3.get_bucket_accelerate_configuration(Bucket=BUCKET), 'acceleration')
    true('LoggingEnabled' not in s3.get_bucket_logging(Bucket=BUCKET), 'logging')
    true('TopicConfigurations' not in s3.get_bucket_notification_configuration(Bucket=BUCKET), 'notification')
    for call in (s3.list_bucket_analytics_configurations, s3.list_bucket_inventory_configurations, s3.list_bucket_metrics_configurations,
                 s3.list_bucket_intelligent_tiering_configurations):
        same(call(Bucket=BUCKET)['IsTruncated'], False, 'list of configurations')
    refused(lambda: s3.get_bucket_metrics_configuration(Bucket=BUCKET, Id='x'), 'NoSuchConfiguration', 404)
    for acl in (s3.get_bucket_acl(Bucket=BUCKET), s3.get_object_acl(Bucket=BUCKET, Key='k')):
        same([g['Permission'] for g in acl['Grants']], ['FULL_CONTROL'], 'grants')
        same(acl['Grants'][0]['Grantee'], {'ID': acl['Owner']['ID'], 'Type': 'CanonicalUser'}, 'grantee')


@case
def writing_them_changes_nothing(server):
    s3 = client(server)
    for method, path, query in (
            ('PUT', '', 'policy'), ('DELETE', '', 'policy'), ('PUT', '', 'cors'), ('DELETE', '', 'lifecycle'), ('PUT', '', 'versioning'), ('PUT', '', 'acl'),
            ('PUT', '/k', 'acl'), ('PUT', '/k', 'retention'), ('PUT', '/k', 'legal-hold'), ('POST', '/k', 'restore'), ('POST', '/k', 'select&select-type=2'),
            ('GET', '/k', 'torrent'), ('PUT', '/k', 'brand-new'), ('DELETE', '/k', 'annotation'), ('PUT', '', 'object-lock'), ('DELETE', '', 'replication')):
        same(raw(s3, method, f'/{BUCKET}{path}', query, b'<x/>' if method in ('PUT', 'POST') else b'')[:2], (501, 'NotImplemented'), f'{method} ?{query}')
    same(body(s3.get_object(Bucket=BUCKET, Key='k')), b'x', 'the object')


@case
def every_object_is_its_only_version(server):
    s3 = client(server)
    for key in ('v/a', 'v/b/1', 'v/b/2', 'v/c'):
        s3.put_object(Bucket=BUCKET, Key=key, Body=b'1')
    seen, marker = [], {}
    while True:
        page = s3.list_object_versions(Bucket=BUCKET, Prefix='v/', MaxKeys=1, **marker)
        seen += [v['Key'] for v in page.get('Versions', [])]
        true(all(v['VersionId'] == 'null' and v['IsLatest'] for v in page['Versions']), 'version ids')
        if not page['IsTruncated']:
            break
        marker = {'KeyMarker': page['NextKeyMarker'], 'VersionIdMarker': page['NextVersionIdMarker']}
    same(seen, ['v/a', 'v/b/1', 'v/b/2', 'v/c'], 'versions')
    page = s3.list_object_versions(Bucket=BUCKET, Prefix='v/', Delimiter='/')
    same(([v['Key'] for v in page['Versions']], [p['Prefix'] for p in page['CommonPrefixes']]), (['v/a', 'v/c'], ['v/b/']), 'folded')
    refused(lambda: s3.list_object_versions(Bucket=BUCKET, VersionIdMarker='null'), 'InvalidArgument', 400)
    same(body(s3.get_object(Bucket=BUCKET, Key='v/a', VersionId='null')), b'1', 'read by version')
    refused(lambda: s3.get_object(Bucket=BUCKET, Key='v/a', VersionId='other'), 'NoSuchVersion', 404)
    # What `bucket.object_versions.delete()` does.
    s3.delete_objects(Bucket=BUCKET, Delete={'Objects': [{'Key': k, 'VersionId': 'null'} for k in seen]})
    true('Versions' not in s3.list_object_versions(Bucket=BUCKET, Prefix='v/'), 'versions after their deletion')


# ---------------------------------------------------------------- checksums

ALGORITHMS = ['CRC32', 'CRC32C', 'SHA1', 'SHA256', 'CRC64NVME']


@case
def checksums_are_kept_and_told(server):
    s3 = client(server)
    for name in ALGORITHMS:
        field = f'Checksum{name}'
        put = s3.put_object(Bucket=BUCKET, Key='sum', Body=DATA[:99_999], ChecksumAlgorithm=name)
        same(put['ChecksumType'], 'FULL_OBJECT', f'{name}: type')
        for read in (s3.get_object, s3.head_object):
            answer = read(Bucket=BUCKET, Key='sum', ChecksumMode='ENABLED')
            same((answer.get(field), answer.get('ChecksumType')), (put[field], 'FULL_OBJECT'), name)
        copied = s3.copy_object(Bucket=BUCKET, Key='sum-copy', CopySource=f'{BUCKET}/sum')
        same(copied['CopyObjectResult'][field], put[field], f'{name}: copy')
    same(s3.head_object(Bucket=BUCKET, Key='sum-copy', ChecksumMode='ENABLED').get(field), put[field], 'the copy')
    quiet = client(server, response_checksum_validation='when_required')
    for answer in (quiet.head_object(Bucket=BUCKET, Key='sum'), quiet.get_object(Bucket=BUCKET, Key='sum', Range='bytes=0-9', ChecksumMode='ENABLED')):
        true(not [k for k in answer if k.startswith('Checksum')], 'nobody asked, or it does not fit a range')
    changed = s3.copy_object(Bucket=BUCKET, Key='sum', CopySource=f'{BUCKET}/sum', ChecksumAlgorithm='SHA256')
    same(changed['CopyObjectResult']['ChecksumSHA256'], sha256(DATA[:99_999]), 'a copy with another algorithm')


def upload(s3, key, more=None, **create):
    begun = s3.create_multipart_upload(Bucket=BUCKET, Key=key, **create)
    done = []
    for number, part in enumerate(PARTS, 1):
        answer = s3.upload_part(Bucket=BUCKET, Key=key, UploadId=begun['UploadId'], PartNumber=number, Body=part, **(more or {}))
        done.append({'PartNumber': number, **{k: v for k, v in answer.items() if k == 'ETag' or k.startswith('Checksum')}})
    return begun, done


def crc64nvme(data):
    """CRC-64/NVME as S3 writes it."""
    table = []
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (0x9A6C9329AC4BC9B5 if n & 1 else 0)
        table.append(n)
    crc = 0xFFFFFFFFFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    return base64.b64encode((crc ^ 0xFFFFFFFFFFFFFFFF).to_bytes(8, 'big')).decode()


@case
def without_a_word_it_is_crc64nvme(server):
    s3, plain = client(server), client(server, request_checksum_calculation='when_required')
    same(crc64nvme(b'123456789'), 'rosUhgp5mIg=', 'the check value of the algorithm')
    for name, data in (('default', DATA[:99_999]), ('default-empty', b'')):
        want = crc64nvme(data)
        put = plain.put_object(Bucket=BUCKET, Key=name, Body=data)
        same((put['ChecksumCRC64NVME'], put['ChecksumType']), (want, 'FULL_OBJECT'), 'PutObject')
        for read in (s3.head_object, s3.get_object):
            answer = read(Bucket=BUCKET, Key=name, ChecksumMode='ENABLED')
            same((answer['ChecksumCRC64NVME'], answer['ChecksumType']), (want, 'FULL_OBJECT'), read.__name__)
        told = s3.get_object_attributes(Bucket=BUCKET, Key=name, ObjectAttributes=['Checksum'])['Checksum']
        same((told['ChecksumCRC64NVME'], told['ChecksumType']), (want, 'FULL_OBJECT'), 'GetObjectAttributes')
    copied = plain.copy_object(Bucket=BUCKET, Key='default-copy', CopySource=f'{BUCKET}/default')['CopyObjectResult']
    same(copied['ChecksumCRC64NVME'], crc64nvme(DATA[:99_999]), 'a copy')
    # Not beside a checksum that was sent, not in a range, and in no answer of REST.
    one = plain.put_object(Bucket=BUCKET, Key='default', Body=b'x', ChecksumCRC32=crc32(b'x'))
    same((one['ChecksumCRC32'], 'ChecksumCRC64NVME' in one), (crc32(b'x'), False), 'beside one that was sent')
    true('ChecksumCRC64NVME' not in s3.get_object(Bucket=BUCKET, Key='default-copy', Range='bytes=0-9', ChecksumMode='ENABLED'), 'of a range')
    request = urllib.request.Request(f'{server.url}/storage/v1/object/info/{BUCKET}/default-copy', headers={'Authorization': f'Bearer {server.keys["SERVICE_ROLE_KEY"]}'})
    text = urllib.request.urlopen(request).read().decode()
    true('rowlock' not in text and 'CRC64' not in text.upper(), text)


@case
def parts_without_a_word_make_one_crc64nvme(server):
    s3, plain = client(server), client(server, request_checksum_calculation='when_required')
    whole = s3.put_object(Bucket=BUCKET, Key='in-one-piece', Body=DATA, ChecksumAlgorithm='CRC64NVME')['ChecksumCRC64NVME']
    # The SDK's own CRC32 of each part is verified and told; the object's is the default all the same.
    for sender in (plain, s3):
        begun, parts = upload(sender, 'in-parts')
        where = dict(Bucket=BUCKET, Key='in-parts', UploadId=begun['UploadId'])
        listed = s3.list_parts(**where)
        same((listed['ChecksumAlgorithm'], listed['ChecksumType']), ('CRC64NVME', 'FULL_OBJECT'), 'ListParts')
        true(all(p['ChecksumCRC64NVME'] for p in listed['Parts']), f'parts: {listed["Parts"]}')
        shown = {u['UploadId']: u for u in s3.list_multipart_uploads(Bucket=BUCKET)['Uploads']}[begun['UploadId']]
        same((shown['ChecksumAlgorithm'], shown['ChecksumType']), ('CRC64NVME', 'FULL_OBJECT'), 'ListMultipartUploads')
        refused(lambda: plain.complete_multipart_upload(**where, MultipartUpload={'Parts': parts}, ChecksumType='COMPOSITE'), 'InvalidRequest', 400)
        refused(lambda: plain.complete_multipart_upload(**where, MultipartUpload={'Parts': parts}, ChecksumCRC64NVME=crc64nvme(b'x')), 'BadDigest', 400)
        done = plain.complete_multipart_upload(**where, MultipartUpload={'Parts': [{'PartNumber': p['PartNumber'], 'ETag': p['ETag']} for p in parts]})
        same((done['ChecksumCRC64NVME'], done['ChecksumType']), (whole, 'FULL_OBJECT'), 'Complete')
        answer = s3.get_object(Bucket=BUCKET, Key='in-parts', ChecksumMode='ENABLED')
        same(answer['ChecksumCRC64NVME'], whole, 'GetObject')
        true(body(answer) == DATA, 'bytes differ')
        # As at AWS, the parts themselves are told only of uploads that were begun for a checksum.
        told = s3.get_object_attributes(Bucket=BUCKET, Key='in-parts', ObjectAttributes=['ObjectParts'])['ObjectParts']
        same((told['TotalPartsCount'], told.get('Parts')), (len(PARTS), None), 'ObjectParts')


@case
def lists_tell_what_checksum_there_is(server):
    s3 = client(server)
    s3.put_object(Bucket=BUCKET, Key='listed/crc32', Body=b'x')
    client(server, request_checksum_calculation='when_required').put_object(Bucket=BUCKET, Key='listed/default', Body=b'x')
    for entries in (s3.list_objects_v2(Bucket=BUCKET, Prefix='listed/')['Contents'], s3.list_objects(Bucket=BUCKET, Prefix='listed/')['Contents'],
                    s3.list_objects_v2(Bucket=BUCKET, Prefix='listed/', Delimiter='/')['Contents'], s3.list_object_versions(Bucket=BUCKET, Prefix='listed/')['Versions']):
        same([(e['ChecksumAlgorithm'], e['ChecksumType']) for e in entries], [(['CRC32'], 'FULL_OBJECT'), (['CRC64NVME'], 'FULL_OBJECT')], 'list')


@case
def a_composite_checksum_of_parts(server):
    s3 = client(server)
    begun, parts = upload(s3, 'composite', ChecksumAlgorithm='SHA256', more={'ChecksumAlgorithm': 'SHA256'})
    same((begun['ChecksumAlgorithm'], begun['ChecksumType']), ('SHA256', 'COMPOSITE'), 'Create')
    same([p['ChecksumSHA256'] for p in parts], [sha256(p) for p in PARTS], 'parts')
    listed = s3.list_parts(Bucket=BUCKET, Key='composite', UploadId=begun['UploadId'])
    same((listed['ChecksumAlgorithm'], [p['ChecksumSHA256'] for p in listed['Parts']]), ('SHA256', [sha256(p) for p in PARTS]), 'ListParts')
    where = dict(Bucket=BUCKET, Key='composite', UploadId=begun['UploadId'])
    refused(lambda: s3.upload_part(**where, PartNumber=3, Body=b'x', ChecksumAlgorithm='CRC32'), 'InvalidRequest', 400)
    lying = [{**parts[0], 'ChecksumSHA256': sha256(b'other')}, *parts[1:]]
    refused(lambda: s3.complete_multipart_upload(**where, MultipartUpload={'Parts': lying}), 'InvalidPart', 400)
    refused(lambda: s3.complete_multipart_upload(**where, MultipartUpload={'Parts': parts}, ChecksumSHA256=sha256(b'other')), 'BadDigest', 400)
    refused(lambda: s3.complete_multipart_upload(**where, MultipartUpload={'Parts': parts}, ChecksumType='FULL_OBJECT'), 'InvalidRequest', 400)
    refused(lambda: s3.complete_multipart_upload(**where, MultipartUpload={'Parts': parts}, MpuObjectSize=7), 'InvalidRequest', 400)
    refused(lambda: s3.head_object(Bucket=BUCKET, Key='composite'), status=404)
    want = composite(PARTS)
    done = s3.complete_multipart_upload(**where, MultipartUpload={'Parts': parts}, ChecksumSHA256=want, ChecksumType='COMPOSITE', MpuObjectSize=len(DATA))
    same((done['ChecksumSHA256'], done['ChecksumType']), (want, 'COMPOSITE'), 'Complete')
    again = s3.complete_multipart_upload(**where, MultipartUpload={'Parts': parts})
    same((again['ETag'], again['ChecksumSHA256']), (done['ETag'], want), 'Complete again')
    answer = s3.get_object(Bucket=BUCKET, Key='composite', ChecksumMode='ENABLED')
    same(answer['ChecksumSHA256'], want, 'GetObject')
    true(body(answer) == DATA, 'bytes differ')


@case
def a_checksum_of_the_whole_object_from_its_parts(server):
    s3 = client(server)
    begun, parts = upload(s3, 'whole', ChecksumAlgorithm='CRC32', ChecksumType='FULL_OBJECT', more={'ChecksumAlgorithm': 'CRC32'})
    where = dict(Bucket=BUCKET, Key='whole', UploadId=begun['UploadId'], MultipartUpload={'Parts': parts})
    refused(lambda: s3.complete_multipart_upload(**where, ChecksumCRC32=crc32(b'other'), ChecksumType='FULL_OBJECT'), 'BadDigest', 400)
    done = s3.complete_multipart_upload(**where, ChecksumCRC32=crc32(DATA), ChecksumType='FULL_OBJECT')
    same((done['ChecksumCRC32'], done['ChecksumType']), (crc32(DATA), 'FULL_OBJECT'), 'Complete')
    # The SDK compares what it reads with the checksum that comes along.
    true(body(s3.get_object(Bucket=BUCKET, Key='whole', ChecksumMode='ENABLED')) == DATA, 'bytes differ')
    begun, parts = upload(s3, 'crc64', ChecksumAlgorithm='CRC64NVME', more={'ChecksumAlgorithm': 'CRC64NVME'})
    done = s3.complete_multipart_upload(Bucket=BUCKET, Key='crc64', UploadId=begun['UploadId'], MultipartUpload={'Parts': parts})
    one = s3.put_object(Bucket=BUCKET, Key='crc64-one', Body=DATA, ChecksumAlgorithm='CRC64NVME')
    same(done['ChecksumCRC64NVME'], one['ChecksumCRC64NVME'], 'of parts and in one piece')
    for wrong in (dict(ChecksumAlgorithm='SHA256', ChecksumType='FULL_OBJECT'), dict(ChecksumAlgorithm='CRC64NVME', ChecksumType='COMPOSITE')):
        refused(lambda: s3.create_multipart_upload(Bucket=BUCKET, Key='x', **wrong), 'InvalidRequest', 400)


@case
def parts_without_a_checksum_get_one(server):
    # As AWS does for UploadPartCopy; and for clients that leave it out.
    s3 = client(server, request_checksum_calculation='when_required')
    begun = s3.create_multipart_upload(Bucket=BUCKET, Key='copied-parts', ChecksumAlgorithm='CRC32C')
    where = dict(Bucket=BUCKET, Key='copied-parts', UploadId=begun['UploadId'])
    first = s3.upload_part(**where, PartNumber=1, Body=PARTS[0])
    second = s3.upload_part_copy(**where, PartNumber=2, CopySource=f'{BUCKET}/whole', CopySourceRange=f'bytes={PART}-{len(DATA) - 1}')['CopyPartResult']
    true(first['ChecksumCRC32C'] and second['ChecksumCRC32C'], 'checksums of the parts')
    named = [{'PartNumber': number, 'ETag': part['ETag'], 'ChecksumCRC32C': part['ChecksumCRC32C']} for number, part in ((1, first), (2, second))]
    # A composite checksum is one of what the client says of each part.
    code, _, message = refused(lambda: s3.complete_multipart_upload(**where, MultipartUpload={'Parts': [named[0], {'PartNumber': 2, 'ETag': second['ETag']}]}), status=400)
    same((code, 'missing for part 2' in message), ('InvalidRequest', True), message)
    done = s3.complete_multipart_upload(**where, MultipartUpload={'Parts': named})
    true(done['ChecksumCRC32C'].endswith('-2'), f'composite: {done["ChecksumCRC32C"]}')
    true(body(s3.get_object(Bucket=BUCKET, Key='copied-parts')) == DATA, 'bytes differ')


# ---------------------------------------------------------------- parts and attributes

@case
def parts_are_read_by_their_number(server):
    s3 = client(server)
    got = b''
    for number in (1, 2, 3):
        answer = s3.get_object(Bucket=BUCKET, Key='composite', PartNumber=number, ChecksumMode='ENABLED')
        same((answer['PartsCount'], answer['ResponseMetadata']['HTTPStatusCode']), (3, 206), f'part {number}')
        same(answer['ChecksumSHA256'], sha256(PARTS[number - 1]), f'checksum of part {number}')
        got += body(answer)
    true(got == DATA, 'the parts joined')
    head = s3.head_object(Bucket=BUCKET, Key='composite', PartNumber=3)
    same((head['ContentLength'], head['PartsCount']), (1234, 3), 'HeadObject of the last part')
    refused(lambda: s3.get_object(Bucket=BUCKET, Key='composite', PartNumber=4), 'InvalidPartNumber', 416)
    same(s3.get_object(Bucket=BUCKET, Key='k', PartNumber=1)['ContentLength'], 1, 'an object in one piece')


@case
def attributes_tell_size_parts_and_checksums(server):
    s3 = client(server)
    names = ['ETag', 'Checksum', 'ObjectParts', 'StorageClass', 'ObjectSize']
    one = s3.get_object_attributes(Bucket=BUCKET, Key='composite', ObjectAttributes=names, MaxParts=2)
    same((one['ObjectSize'], one['StorageClass'], one['Checksum']['ChecksumSHA256']), (len(DATA), 'STANDARD', composite(PARTS)), 'attributes')
    true(one['ETag'] == s3.head_object(Bucket=BUCKET, Key='composite')['ETag'].strip('"') and one['LastModified'], 'ETag')
    parts = one['ObjectParts']
    same((parts['TotalPartsCount'], parts['IsTruncated'], [p['Size'] for p in parts['Parts']]), (3, True, [PART, PART]), 'first page')
    rest = s3.get_object_attributes(Bucket=BUCKET, Key='composite', ObjectAttributes=['ObjectParts'], PartNumberMarker=parts['NextPartNumberMarker'])['ObjectParts']
    same([(p['PartNumber'], p['ChecksumSHA256']) for p in rest['Parts']], [(3, sha256(PARTS[2]))], 'second page')
    plain = s3.get_object_attributes(Bucket=BUCKET, Key='k', ObjectAttributes=['ObjectParts', 'ObjectSize'])
    true('ObjectParts' not in plain, 'an object in one piece has no parts')
    refused(lambda: s3.get_object_attributes(Bucket=BUCKET, Key='absent', ObjectAttributes=['ETag']), 'NoSuchKey', 404)


# ---------------------------------------------------------------- tags

def tag_set(**tags):
    return {'TagSet': [{'Key': k, 'Value': v} for k, v in tags.items()]}


def tags_of(s3, key):
    return {t['Key']: t['Value'] for t in s3.get_object_tagging(Bucket=BUCKET, Key=key)['TagSet']}


@case
def objects_have_tags(server):
    s3 = client(server)
    s3.put_object(Bucket=BUCKET, Key='tagged', Body=b'1', Tagging='colour=red&where=a+b', ContentType='text/x', Metadata={'m': '1'})
    same(tags_of(s3, 'tagged'), {'colour': 'red', 'where': 'a b'}, 'from the header')
    before = s3.head_object(Bucket=BUCKET, Key='tagged')
    same(s3.get_object(Bucket=BUCKET, Key='tagged')['TagCount'], 2, 'TagCount')
    s3.put_object_tagging(Bucket=BUCKET, Key='tagged', Tagging=tag_set(ä='ö', b=''))
    same(tags_of(s3, 'tagged'), {'ä': 'ö', 'b': ''}, 'replaced')
    after = s3.head_object(Bucket=BUCKET, Key='tagged')
    same([after[k] for k in ('ETag', 'LastModified', 'ContentType', 'Metadata')], [before[k] for k in ('ETag', 'LastModified', 'ContentType', 'Metadata')], 'all else stays')
    for name, want in (('COPY', {'ä': 'ö', 'b': ''}), ('REPLACE', {'new': '1'})):
        s3.copy_object(Bucket=BUCKET, Key='tagged-copy', CopySource=f'{BUCKET}/tagged', TaggingDirective=name, Tagging='new=1')
        same(tags_of(s3, 'tagged-copy'), want, name)
    s3.copy_object(Bucket=BUCKET, Key='tagged-copy', CopySource=f'{BUCKET}/tagged', MetadataDirective='REPLACE')
    same(tags_of(s3, 'tagged-copy'), {'ä': 'ö', 'b': ''}, 'metadata replaced, tags not')
    begun = s3.create_multipart_upload(Bucket=BUCKET, Key='tagged-parts', Tagging='p=q')
    tag = s3.upload_part(Bucket=BUCKET, Key='tagged-parts', UploadId=begun['UploadId'], PartNumber=1, Body=b'1')['ETag']
    s3.complete_multipart_upload(Bucket=BUCKET, Key='tagged-parts', UploadId=begun['UploadId'], MultipartUpload={'Parts': [{'PartNumber': 1, 'ETag': tag}]})
    same(tags_of(s3, 'tagged-parts'), {'p': 'q'}, 'of a multipart upload')
    s3.delete_object_tagging(Bucket=BUCKET, Key='tagged')
    same(tags_of(s3, 'tagged'), {}, 'deleted')
    s3.put_object(Bucket=BUCKET, Key='tagged-copy', Body=b'2')
    same(tags_of(s3, 'tagged-copy'), {}, 'an object that replaced a tagged one')
    for call in (lambda: s3.get_object_tagging(Bucket=BUCKET, Key='absent'), lambda: s3.delete_object_tagging(Bucket=BUCKET, Key='absent'),
                 lambda: s3.put_object_tagging(Bucket=BUCKET, Key='absent', Tagging=tag_set(a='b'))):
        refused(call, 'NoSuchKey', 404)


@case
def tags_have_limits(server):
    s3 = client(server)
    put = lambda tags: s3.put_object_tagging(Bucket=BUCKET, Key='tagged', Tagging={'TagSet': tags})
    put([{'Key': f'k{i}', 'Value': 'v'} for i in range(9)] + [{'Key': 'ü' * 128, 'Value': 'ü' * 256}])
    refused(lambda: put([{'Key': f'k{i}', 'Value': 'v'} for i in range(11)]), 'BadRequest', 400)
    for key, value in (('k' * 129, 'v'), ('k', 'v' * 257), ('k;', 'v'), ('aws:k', 'v')):
        refused(lambda: put([{'Key': key, 'Value': value}]), 'InvalidTag', 400)
    refused(lambda: put([{'Key': 'a', 'Value': '1'}, {'Key': 'a', 'Value': '2'}]), 'InvalidTag', 400)
    same(len(tags_of(s3, 'tagged')), 10, 'tags after refusals')
    refused(lambda: s3.put_object(Bucket=BUCKET, Key='untagged', Body=b'', Tagging='a=1&a=2'), 'InvalidArgument', 400)
    refused(lambda: s3.head_object(Bucket=BUCKET, Key='untagged'), status=404)


@case
def buckets_have_tags(server):
    s3 = client(server)
    s3.put_bucket_tagging(Bucket=BUCKET, Tagging=tag_set(team='a', cost='b'))
    same({t['Key']: t['Value'] for t in s3.get_bucket_tagging(Bucket=BUCKET)['TagSet']}, {'team': 'a', 'cost': 'b'}, 'bucket tags')
    refused(lambda: s3.put_bucket_tagging(Bucket=BUCKET, Tagging={'TagSet': [{'Key': f'k{i}', 'Value': ''} for i in range(51)]}), 'BadRequest', 400)
    s3.delete_bucket_tagging(Bucket=BUCKET)
    refused(lambda: s3.get_bucket_tagging(Bucket=BUCKET), 'NoSuchTagSet', 404)
    refused(lambda: s3.put_bucket_tagging(Bucket='no-such-bucket', Tagging=tag_set(a='b')), 'NoSuchBucket', 404)
    s3.create_bucket(Bucket='tagged-bucket')
    s3.put_bucket_tagging(Bucket='tagged-bucket', Tagging=tag_set(a='b'))
    s3.delete_bucket(Bucket='tagged-bucket')
    s3.create_bucket(Bucket='tagged-bucket')
    refused(lambda: s3.get_bucket_tagging(Bucket='tagged-bucket'), 'NoSuchTagSet', 404)
    s3.delete_bucket(Bucket='tagged-bucket')


@case
def tags_obey_policies(server):
    # Alice may read and change what lies under her name; Bob may read it.
    for statement in ("CREATE POLICY tags_read ON storage.objects FOR SELECT TO authenticated USING (bucket_id = 'features-bucket' AND name LIKE 'rls/%')",
                      "CREATE POLICY tags_write ON storage.objects FOR UPDATE TO authenticated USING (name LIKE 'rls/' || auth.uid()::text || '/%' "
                      "AND storage.operation() IN ('storage.s3.object.put_tagging', 'storage.s3.object.delete_tagging'))"):
        server.sql(statement)
    alice, bob = ('0' * 8 + f'-0000-4000-8000-{"0" * 11}{n}' for n in (1, 2))
    key = f'rls/{alice}/k'
    client(server).put_object(Bucket=BUCKET, Key=key, Body=b'x', Tagging='a=1')
    hers, his = (client(server, token=server.token(who)) for who in (alice, bob))
    same(tags_of(his, key), {'a': '1'}, 'who may read the object reads its tags')
    refused(lambda: his.put_object_tagging(Bucket=BUCKET, Key=key, Tagging=tag_set(a='2')), 'AccessDenied', 403)
    refused(lambda: his.delete_object_tagging(Bucket=BUCKET, Key=key), 'AccessDenied', 403)
    refused(lambda: his.get_object_tagging(Bucket=BUCKET, Key='tagged'), 'NoSuchKey', 404)
    hers.put_object_tagging(Bucket=BUCKET, Key=key, Tagging=tag_set(a='3'))
    same(tags_of(his, key), {'a': '3'}, 'who may change it changes them')
    hers.delete_object_tagging(Bucket=BUCKET, Key=key)
    for call in (lambda: hers.put_bucket_tagging(Bucket=BUCKET, Tagging=tag_set(a='b')), lambda: hers.get_bucket_tagging(Bucket=BUCKET),
                 lambda: hers.get_bucket_acl(Bucket=BUCKET), lambda: hers.get_bucket_policy(Bucket=BUCKET)):
        refused(call, 'NoSuchBucket', 404)


# ---------------------------------------------------------------- conditions

@case
def deletes_on_condition(server):
    s3 = client(server)
    tag = s3.put_object(Bucket=BUCKET, Key='cond', Body=b'1')['ETag']
    refused(lambda: s3.delete_object(Bucket=BUCKET, Key='cond', IfMatch='"other"'), 'PreconditionFailed', 412)
    same(body(s3.get_object(Bucket=BUCKET, Key='cond')), b'1', 'the object')
    s3.delete_object(Bucket=BUCKET, Key='cond', IfMatch=tag)
    for condition in (tag, '*'):
        refused(lambda: s3.delete_object(Bucket=BUCKET, Key='cond', IfMatch=condition), 'NoSuchKey', 404)
    s3.put_object(Bucket=BUCKET, Key='cond', Body=b'1')
    s3.delete_object(Bucket=BUCKET, Key='cond', IfMatch='*')
    refused(lambda: s3.head_object(Bucket=BUCKET, Key='cond'), status=404)
    for name in ('d1', 'd2', 'd3'):
        s3.put_object(Bucket=BUCKET, Key=name, Body=b'1')
    done = s3.delete_objects(Bucket=BUCKET, Delete={'Objects': [{'Key': 'd1', 'ETag': tag}, {'Key': 'd2', 'ETag': '"other"'}, {'Key': 'd3'}, {'Key': 'absent', 'ETag': tag}]})
    same(sorted(d['Key'] for d in done['Deleted']), ['d1', 'd3'], 'deleted')
    same({e['Key']: e['Code'] for e in done['Errors']}, {'d2': 'PreconditionFailed', 'absent': 'NoSuchKey'}, 'refused')
    for condition in (dict(IfMatchSize=1), dict(IfMatchLastModifiedTime='2026-01-01')):
        refused(lambda: s3.delete_object(Bucket=BUCKET, Key='d2', **condition), 'NotImplemented', 501)
    same(body(s3.get_object(Bucket=BUCKET, Key='d2')), b'1', 'what a refused condition left')


@case
def the_expected_owner_is_checked_everywhere(server):
    s3 = client(server)
    owner = s3.get_bucket_acl(Bucket=BUCKET)['Owner']['ID']
    s3.head_object(Bucket=BUCKET, Key='k', ExpectedBucketOwner=owner)
    for call in (lambda w: s3.get_object(Bucket=BUCKET, Key='k', ExpectedBucketOwner=w), lambda w: s3.put_object(Bucket=BUCKET, Key='k', Body=b'2', ExpectedBucketOwner=w),
                 lambda w: s3.delete_object(Bucket=BUCKET, Key='k', ExpectedBucketOwner=w), lambda w: s3.list_objects_v2(Bucket=BUCKET, ExpectedBucketOwner=w),
                 lambda w: s3.get_bucket_tagging(Bucket=BUCKET, ExpectedBucketOwner=w), lambda w: s3.delete_bucket(Bucket=BUCKET, ExpectedBucketOwner=w),
                 lambda w: s3.get_object_attributes(Bucket=BUCKET, Key='k', ObjectAttributes=['ETag'], ExpectedBucketOwner=w)):
        refused(lambda: call('123456789012'), 'AccessDenied', 403)
    same(body(s3.get_object(Bucket=BUCKET, Key='k')), b'x', 'the object')


if __name__ == '__main__':
    main()
