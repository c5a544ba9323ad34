"""boto3: multipart uploads from begin to end, and every way in which they go wrong."""
import hashlib
import threading

from s3 import body, client, keys, pattern, refused
from harness import case, main, same, true

BUCKET = 'multipart-bucket'
MIN = 5 * 1024 * 1024
NOBODY = '7b0a3e0e-4a5d-4c58-b9f0-0d7f7b1f6b11'


def begin(s3, key, **more):
    return s3.create_multipart_upload(Bucket=BUCKET, Key=key, **more)['UploadId']


def part(s3, key, upload, number, data):
    return {'PartNumber': number, 'ETag': s3.upload_part(Bucket=BUCKET, Key=key, UploadId=upload, PartNumber=number, Body=data)['ETag']}


def complete(s3, key, upload, parts, **more):
    return s3.complete_multipart_upload(Bucket=BUCKET, Key=key, UploadId=upload, MultipartUpload={'Parts': parts}, **more)


def tag_of(*datas):
    whole = hashlib.md5(b''.join(hashlib.md5(d).digest() for d in datas)).hexdigest()
    return f'"{whole}-{len(datas)}"'


@case
def parts_become_one_object(server):
    s3 = client(server)
    s3.create_bucket(Bucket=BUCKET)
    a, b, c = pattern(MIN, 1), pattern(MIN + 3, 2), b'tail'
    upload = begin(s3, 'ü/whole', ContentType='text/x-mp', CacheControl='max-age=9', Metadata={'m': '1'})
    # Sent out of order and with gaps in the numbers: only the numbers order them.
    parts = [part(s3, 'ü/whole', upload, 900, c), part(s3, 'ü/whole', upload, 1, a), part(s3, 'ü/whole', upload, 7, b)]
    same(parts[1]['ETag'], '"' + hashlib.md5(a).hexdigest() + '"', 'ETag of a part')
    refused(lambda: s3.head_object(Bucket=BUCKET, Key='ü/whole'), status=404)
    same(keys(s3.list_objects_v2(Bucket=BUCKET)), [], 'listing before Complete')
    answer = complete(s3, 'ü/whole', upload, sorted(parts, key=lambda p: p['PartNumber']))
    same((answer['ETag'], answer['Bucket'], answer['Key']), (tag_of(a, b, c), BUCKET, 'ü/whole'), 'answer of Complete')
    got = s3.get_object(Bucket=BUCKET, Key='ü/whole')
    true(body(got) == a + b + c, 'the bytes are not those of the parts')
    same((got['ContentType'], got['CacheControl'], got['Metadata'], got['ETag']), ('text/x-mp', 'max-age=9', {'m': '1'}, tag_of(a, b, c)), 'headers')
    same(body(s3.get_object(Bucket=BUCKET, Key='ü/whole', Range=f'bytes={MIN - 2}-{MIN + 1}')), a[-2:] + b[:2], 'range over a seam')
    entry = s3.list_objects_v2(Bucket=BUCKET)['Contents'][0]
    same((entry['Size'], entry['ETag']), (2 * MIN + 7, tag_of(a, b, c)), 'entry')


@case
def completing_again_is_answered_like_aws_or_refused(server):
    # A client whose answer was lost completes again; AWS answers the same for a while. Either way the object stays.
    s3, data = client(server), b'only part'
    upload = begin(s3, 'again')
    parts = [part(s3, 'again', upload, 1, data)]
    complete(s3, 'again', upload, parts)
    try:
        complete(s3, 'again', upload, parts)
    except s3.exceptions.ClientError as error:
        same(error.response['Error']['Code'], 'NoSuchUpload', 'second Complete')
    same(body(s3.get_object(Bucket=BUCKET, Key='again')), data, 'bytes')


@case
def one_small_part_is_enough(server):
    s3 = client(server)
    upload = begin(s3, 'small')
    complete(s3, 'small', upload, [part(s3, 'small', upload, 1, b'x')])
    same(s3.head_object(Bucket=BUCKET, Key='small')['ETag'], tag_of(b'x'), 'ETag')
    upload = begin(s3, 'none')
    complete(s3, 'none', upload, [part(s3, 'none', upload, 1, b'')])
    same(s3.head_object(Bucket=BUCKET, Key='none')['ContentLength'], 0, 'length of an empty part')


@case
def a_part_sent_again_replaces_the_first(server):
    s3 = client(server)
    upload = begin(s3, 'twice')
    old = part(s3, 'twice', upload, 1, b'old')
    new = part(s3, 'twice', upload, 1, b'new!')
    refused(lambda: complete(s3, 'twice', upload, [old]), 'InvalidPart', 400)
    complete(s3, 'twice', upload, [new])
    same(body(s3.get_object(Bucket=BUCKET, Key='twice')), b'new!', 'bytes')


@case
def a_complete_that_names_wrong_parts_changes_nothing(server):
    s3 = client(server)
    s3.put_object(Bucket=BUCKET, Key='wrong', Body=b'before')
    upload = begin(s3, 'wrong')
    one, two, three = part(s3, 'wrong', upload, 1, pattern(MIN)), part(s3, 'wrong', upload, 2, b'small'), part(s3, 'wrong', upload, 3, b'tail')
    refused(lambda: complete(s3, 'wrong', upload, [two, one]), 'InvalidPartOrder', 400)
    refused(lambda: complete(s3, 'wrong', upload, [one, one]), 'InvalidPartOrder', 400)
    refused(lambda: complete(s3, 'wrong', upload, [one, two, three]), 'EntityTooSmall', 400)
    refused(lambda: complete(s3, 'wrong', upload, [one, {'PartNumber': 2, 'ETag': '"0123456789abcdef0123456789abcdef"'}]), 'InvalidPart', 400)
    refused(lambda: complete(s3, 'wrong', upload, [one, {'PartNumber': 9, 'ETag': one['ETag']}]), 'InvalidPart', 400)
    refused(lambda: complete(s3, 'wrong', upload, []), 'MalformedXML', 400)
    same(body(s3.get_object(Bucket=BUCKET, Key='wrong')), b'before', 'object after refusals')
    # Parts not named are dropped, those named are the object; quotes around the ETag are optional.
    complete(s3, 'wrong', upload, [{'PartNumber': 1, 'ETag': one['ETag'].strip('"')}, three])
    same(s3.head_object(Bucket=BUCKET, Key='wrong')['ContentLength'], MIN + 4, 'length')


@case
def conditions_on_complete(server):
    s3 = client(server)
    s3.put_object(Bucket=BUCKET, Key='cond', Body=b'there')
    upload = begin(s3, 'cond')
    parts = [part(s3, 'cond', upload, 1, b'mine')]
    refused(lambda: complete(s3, 'cond', upload, parts, IfNoneMatch='*'), 'PreconditionFailed', 412)
    refused(lambda: complete(s3, 'cond', upload, parts, IfMatch='"other"'), 'PreconditionFailed', 412)
    complete(s3, 'cond', upload, parts, IfMatch=s3.head_object(Bucket=BUCKET, Key='cond')['ETag'])
    same(body(s3.get_object(Bucket=BUCKET, Key='cond')), b'mine', 'bytes')


@case
def part_numbers_and_upload_ids_are_checked(server):
    s3 = client(server)
    upload = begin(s3, 'numbers')
    for number in (0, 10001):
        refused(lambda: part(s3, 'numbers', upload, number, b'x'), 'InvalidArgument', 400)
    part(s3, 'numbers', upload, 10000, b'x')
    for bad in (NOBODY, 'bogus', '../../etc', 'a' * 2000):
        refused(lambda: part(s3, 'numbers', bad, 1, b'x'), 'NoSuchUpload', 404)
        refused(lambda: s3.list_parts(Bucket=BUCKET, Key='numbers', UploadId=bad), 'NoSuchUpload', 404)
        refused(lambda: s3.abort_multipart_upload(Bucket=BUCKET, Key='numbers', UploadId=bad), 'NoSuchUpload', 404)
        refused(lambda: complete(s3, 'numbers', bad, [{'PartNumber': 1, 'ETag': '"x"'}]), 'NoSuchUpload', 404)
    # An id belongs to its key: with another one it must open nothing.
    refused(lambda: part(s3, 'other-key', upload, 1, b'x'), 'NoSuchUpload', 404)
    refused(lambda: s3.create_multipart_upload(Bucket='no-such-bucket', Key='x'), 'NoSuchBucket', 404)


@case
def an_aborted_upload_is_gone(server):
    s3 = client(server)
    upload = begin(s3, 'aborted')
    one = part(s3, 'aborted', upload, 1, b'x')
    s3.abort_multipart_upload(Bucket=BUCKET, Key='aborted', UploadId=upload)
    refused(lambda: s3.abort_multipart_upload(Bucket=BUCKET, Key='aborted', UploadId=upload), 'NoSuchUpload', 404)
    refused(lambda: complete(s3, 'aborted', upload, [one]), 'NoSuchUpload', 404)
    refused(lambda: s3.head_object(Bucket=BUCKET, Key='aborted'), status=404)


@case
def parts_are_copied_from_objects(server):
    s3, data = client(server), pattern(MIN + 1000, 'source')
    s3.put_object(Bucket=BUCKET, Key='copy source+ü', Body=data)
    source = {'Bucket': BUCKET, 'Key': 'copy source+ü'}
    upload = begin(s3, 'copied')
    whole = s3.upload_part_copy(Bucket=BUCKET, Key='copied', UploadId=upload, PartNumber=1, CopySource=source)['CopyPartResult']
    same(whole['ETag'], '"' + hashlib.md5(data).hexdigest() + '"', 'ETag of a copied part')
    piece = s3.upload_part_copy(Bucket=BUCKET, Key='copied', UploadId=upload, PartNumber=2, CopySource=source, CopySourceRange='bytes=10-19')['CopyPartResult']
    complete(s3, 'copied', upload, [{'PartNumber': 1, 'ETag': whole['ETag']}, {'PartNumber': 2, 'ETag': piece['ETag']}])
    true(body(s3.get_object(Bucket=BUCKET, Key='copied')) == data + data[10:20], 'copied bytes differ')


@case
def part_copies_check_the_source(server):
    s3 = client(server)
    upload = begin(s3, 'copy-checks')
    def copy(source, **more):
        return s3.upload_part_copy(Bucket=BUCKET, Key='copy-checks', UploadId=upload, PartNumber=1, CopySource=source, **more)
    good = {'Bucket': BUCKET, 'Key': 'copy source+ü'}
    refused(lambda: copy(f'{BUCKET}/missing'), 'NoSuchKey', 404)
    refused(lambda: copy('no-such-bucket/x'), 'NoSuchBucket', 404)
    for bad in ('bytes=5-2', 'bytes=0-', 'bytes=-5', '0-5', f'bytes=0-{MIN + 1000}'):
        same(refused(lambda: copy(good, CopySourceRange=bad))[1] in (400, 416), True, f'range {bad}')
    refused(lambda: copy(good, CopySourceIfMatch='"x"'), 'PreconditionFailed', 412)
    same(s3.list_parts(Bucket=BUCKET, Key='copy-checks', UploadId=upload).get('Parts'), None, 'parts after refusals')


@case
def parts_are_listed_in_pages(server):
    s3 = client(server)
    upload = begin(s3, 'listed')
    numbers = [2, 3, 5, 7, 11, 9999]
    tags = {n: part(s3, 'listed', upload, n, b'p' * n)['ETag'] for n in reversed(numbers)}
    answer = s3.list_parts(Bucket=BUCKET, Key='listed', UploadId=upload)
    same([(p['PartNumber'], p['ETag'], p['Size']) for p in answer['Parts']], [(n, tags[n], n) for n in numbers], 'parts')
    same((answer['IsTruncated'], answer['Key'], answer['UploadId'], answer['MaxParts']), (False, 'listed', upload, 1000), 'frame')
    for size in (1, 4, 6):
        got, marker = [], 0
        while True:
            answer = s3.list_parts(Bucket=BUCKET, Key='listed', UploadId=upload, MaxParts=size, PartNumberMarker=marker)
            got += [p['PartNumber'] for p in answer.get('Parts', [])]
            if not answer['IsTruncated']:
                break
            marker = answer['NextPartNumberMarker']
        same(got, numbers, f'pages of {size}')


@case
def uploads_are_listed_in_pages(server):
    s3 = client(server)
    for old in s3.list_multipart_uploads(Bucket=BUCKET).get('Uploads', []):
        s3.abort_multipart_upload(Bucket=BUCKET, Key=old['Key'], UploadId=old['UploadId'])
    names = ['l/a', 'l/a', 'l/b', 'l/d/1', 'l/d/2', 'l/ü&<', 'm']
    begun = [(name, begin(s3, name)) for name in names]
    answer = s3.list_multipart_uploads(Bucket=BUCKET)
    same([u['Key'] for u in answer['Uploads']], sorted(names, key=lambda n: n.encode()), 'keys')
    same(sorted((u['Key'], u['UploadId']) for u in answer['Uploads']), sorted(begun), 'ids')
    for size in (1, 2, 3, 7):
        got, marker = [], {}
        while True:
            answer = s3.list_multipart_uploads(Bucket=BUCKET, MaxUploads=size, **marker)
            got += [(u['Key'], u['UploadId']) for u in answer.get('Uploads', [])]
            if not answer['IsTruncated']:
                break
            marker = {'KeyMarker': answer['NextKeyMarker'], 'UploadIdMarker': answer['NextUploadIdMarker']}
        same(sorted(got), sorted(begun), f'pages of {size}')
    answer = s3.list_multipart_uploads(Bucket=BUCKET, Prefix='l/', Delimiter='/')
    same([u['Key'] for u in answer['Uploads']], ['l/a', 'l/a', 'l/b', 'l/ü&<'], 'by delimiter')
    same([p['Prefix'] for p in answer['CommonPrefixes']], ['l/d/'], 'prefixes')
    for name, upload in begun:
        s3.abort_multipart_upload(Bucket=BUCKET, Key=name, UploadId=upload)
    same(s3.list_multipart_uploads(Bucket=BUCKET).get('Uploads'), None, 'after aborting all')


@case
def the_transfer_manager_uploads_in_parallel(server):
    import io
    from boto3.s3.transfer import TransferConfig
    s3, data = client(server), pattern(33 * 1024 * 1024 + 5, 'transfer')
    s3.upload_fileobj(io.BytesIO(data), BUCKET, 'transfer', Config=TransferConfig(multipart_threshold=MIN, multipart_chunksize=MIN, max_concurrency=8))
    back = io.BytesIO()
    s3.download_fileobj(BUCKET, 'transfer', back, Config=TransferConfig(multipart_threshold=MIN, multipart_chunksize=MIN, max_concurrency=8))
    true(back.getvalue() == data, 'bytes differ')


@case
def two_completes_at_once_leave_one_object(server):
    s3 = client(server)
    upload = begin(s3, 'race')
    parts = [part(s3, 'race', upload, 1, pattern(MIN, 'r1')), part(s3, 'race', upload, 2, b'end')]
    outcomes = []
    def go():
        try:
            outcomes.append(complete(s3, 'race', upload, parts)['ETag'])
        except s3.exceptions.ClientError as error:
            outcomes.append(error.response['Error']['Code'])
    threads = [threading.Thread(target=go) for _ in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    tag = tag_of(pattern(MIN, 'r1'), b'end')
    true(tag in outcomes and set(outcomes) <= {tag, 'NoSuchUpload', 'OperationAborted'}, f'outcomes {outcomes}')
    true(body(s3.get_object(Bucket=BUCKET, Key='race')) == pattern(MIN, 'r1') + b'end', 'bytes differ')


@case
def deleting_an_empty_bucket_ends_its_uploads(server):
    s3 = client(server)
    s3.create_bucket(Bucket='pending-bucket')
    upload = s3.create_multipart_upload(Bucket='pending-bucket', Key='p')['UploadId']
    s3.upload_part(Bucket='pending-bucket', Key='p', UploadId=upload, PartNumber=1, Body=b'x')
    s3.delete_bucket(Bucket='pending-bucket')
    refused(lambda: s3.list_parts(Bucket='pending-bucket', Key='p', UploadId=upload), status=404)


if __name__ == '__main__':
    main()
