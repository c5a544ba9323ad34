"""boto3: buckets and single objects, with the edge cases that clients meet."""
import datetime
import hashlib
import time
import urllib.parse

from s3 import body, client, empty_and_delete, keys, pattern, raw, refused
from harness import case, contains, main, same, true

BUCKET = 'objects-bucket'


@case
def buckets_are_made_seen_and_removed(server):
    s3 = client(server)
    same(s3.create_bucket(Bucket=BUCKET)['Location'].rstrip('/').split('/')[-1], BUCKET, 'Location')
    refused(lambda: s3.create_bucket(Bucket=BUCKET), 'BucketAlreadyOwnedByYou', 409)
    same([b['Name'] for b in s3.list_buckets()['Buckets']], [BUCKET], 'ListBuckets')
    true(isinstance(s3.list_buckets()['Buckets'][0]['CreationDate'], datetime.datetime), 'CreationDate is no time')
    same(s3.head_bucket(Bucket=BUCKET)['ResponseMetadata']['HTTPStatusCode'], 200, 'HeadBucket')
    refused(lambda: s3.head_bucket(Bucket='no-such-bucket'), '404', 404)
    s3.create_bucket(Bucket='second-bucket', CreateBucketConfiguration={'LocationConstraint': 'stub'})
    same(sorted(b['Name'] for b in s3.list_buckets()['Buckets']), [BUCKET, 'second-bucket'], 'two buckets')
    s3.delete_bucket(Bucket='second-bucket')
    refused(lambda: s3.delete_bucket(Bucket='second-bucket'), 'NoSuchBucket', 404)


@case
def bucket_names_follow_the_s3_rules(server):
    s3 = client(server)
    for name in ('ab', 'Upper-case', 'under_score', 'a' * 64, '-dash', 'dash-', 'two..dots', '192.168.1.1', 'ümlaut'):
        status, code = raw_create(s3, name)
        same((status, code), (400, 'InvalidBucketName'), f'bucket {name[:20]!r}')
    for name in ('abc', 'a.b-c', '123', 'a' * 63):
        s3.create_bucket(Bucket=name)
        s3.delete_bucket(Bucket=name)


def raw_create(s3, name):
    """botocore refuses some names itself; the server must, whoever asks: so this one is signed by hand."""
    return raw(s3, 'PUT', '/' + urllib.parse.quote(name))[:2]


@case
def the_location_is_the_region_as_aws_says_it(server):
    answer = client(server).get_bucket_location(Bucket=BUCKET)
    contains(('stub', None), answer['LocationConstraint'], 'location')
    refused(lambda: client(server).get_bucket_location(Bucket='no-such-bucket'), 'NoSuchBucket', 404)


@case
def an_object_returns_with_its_headers(server):
    s3 = client(server)
    put = s3.put_object(Bucket=BUCKET, Key='a/b.txt', Body=b'hello', ContentType='text/x-odd; charset=utf-8', CacheControl='max-age=5', Metadata={'colour': 'red', 'empty': ''})
    want = '"' + hashlib.md5(b'hello').hexdigest() + '"'
    same(put['ETag'], want, 'ETag of PutObject')
    for answer in (s3.get_object(Bucket=BUCKET, Key='a/b.txt'), s3.head_object(Bucket=BUCKET, Key='a/b.txt')):
        same(answer['ETag'], want, 'ETag')
        same(answer['ContentType'], 'text/x-odd; charset=utf-8', 'ContentType')
        same(answer['CacheControl'], 'max-age=5', 'CacheControl')
        same(answer['ContentLength'], 5, 'ContentLength')
        same(answer['AcceptRanges'], 'bytes', 'AcceptRanges')
        same(answer['Metadata'].get('colour'), 'red', 'metadata')
        age = datetime.datetime.now(datetime.timezone.utc) - answer['LastModified']
        true(abs(age.total_seconds()) < 60, f'LastModified is {age} ago')
    same(body(s3.get_object(Bucket=BUCKET, Key='a/b.txt')), b'hello', 'bytes')


@case
def an_object_without_a_type_gets_one(server):
    s3 = client(server)
    s3.put_object(Bucket=BUCKET, Key='untyped', Body=b'x')
    contains(('binary/octet-stream', 'application/octet-stream'), s3.head_object(Bucket=BUCKET, Key='untyped')['ContentType'], 'default type')


@case
def metadata_beyond_ascii_survives(server):
    # botocore itself refuses it; browsers and other SDKs send RFC 2047 words, which must come back as they were sent.
    s3 = client(server)
    s3.put_object(Bucket=BUCKET, Key='meta', Body=b'', Metadata={'name': '=?UTF-8?B?w7xuw68=?=', 'with-dash': 'a, b;c="d"', 'long': 'x' * 1500})
    got = s3.head_object(Bucket=BUCKET, Key='meta')['Metadata']
    same(got, {'name': '=?UTF-8?B?w7xuw68=?=', 'with-dash': 'a, b;c="d"', 'long': 'x' * 1500}, 'metadata')


@case
def overwriting_leaves_only_the_new_object(server):
    s3 = client(server)
    s3.put_object(Bucket=BUCKET, Key='over', Body=b'first, and longer', ContentType='text/one', Metadata={'one': '1'})
    s3.put_object(Bucket=BUCKET, Key='over', Body=b'second', ContentType='text/two')
    answer = s3.get_object(Bucket=BUCKET, Key='over')
    same((body(answer), answer['ContentType'], answer['Metadata']), (b'second', 'text/two', {}), 'object')
    same(keys(s3.list_objects_v2(Bucket=BUCKET, Prefix='over')), ['over'], 'listing')


KEYS = ['ünï/cödé', '日本/語.txt', '😀', 'a b/c+d&e=f', 'quote"\'<>&;', 'percent%2Fnot-a-slash', '100%', 'hash#question?', 'a//b', 'trail//', '//lead',
        '~!@$^*()_-=+[]{}|\\:,.`', 'dots..name', 'e\u0301 differs from é', 'é', 'x' * 300 + '/y', ('é' * 511) + 'aa', '.hidden', 'tab\u00a0nbsp', 'ZWJ\u200d']


@case
def every_legal_key_is_stored_listed_and_removed(server):
    # Keys are bytes to S3: no normalisation, no path rules, segments over 255 bytes, 1024 bytes in all.
    s3 = client(server)
    s3.create_bucket(Bucket='key-bucket')
    for key in KEYS:
        s3.put_object(Bucket='key-bucket', Key=key, Body=key.encode())
    same(keys(s3.list_objects_v2(Bucket='key-bucket')), sorted(KEYS, key=lambda k: k.encode()), 'listing in byte order')
    for key in KEYS:
        same(body(s3.get_object(Bucket='key-bucket', Key=key)), key.encode(), f'bytes of {key[:30]!r}')
    s3.copy_object(Bucket='key-bucket', Key='copy', CopySource={'Bucket': 'key-bucket', 'Key': 'percent%2Fnot-a-slash'})
    same(body(s3.get_object(Bucket='key-bucket', Key='copy')), b'percent%2Fnot-a-slash', 'copy of an odd key')
    empty_and_delete(s3, 'key-bucket')


@case
def keys_that_cannot_be_are_refused_politely(server):
    s3 = client(server)
    refused(lambda: s3.put_object(Bucket=BUCKET, Key='k' * 1025, Body=b''), 'KeyTooLongError', 400)
    for key in ('../up', 'a/../b', './here', 'a/./b', 'nul\0byte', 'control\x01'):
        code, status, _ = refused(lambda: s3.put_object(Bucket=BUCKET, Key=key, Body=b''))
        same(status, 400, f'status for {key!r} ({code})')
    # Nothing of it lies anywhere, and a look-up of such a key is an answer too, never a 500.
    for key in ('../up', 'k' * 1025):
        status = refused(lambda: s3.get_object(Bucket=BUCKET, Key=key))[1]
        contains((400, 404), status, f'status of GET {key[:10]!r}')


@case
def a_file_and_a_folder_of_one_name_live_together(server):
    s3 = client(server)
    for key in ('same', 'same/inner', 'same/inner/more', 'SAME'):
        s3.put_object(Bucket=BUCKET, Key=key, Body=key.encode())
    s3.delete_object(Bucket=BUCKET, Key='same/inner')
    for key in ('same', 'same/inner/more', 'SAME'):
        same(body(s3.get_object(Bucket=BUCKET, Key=key)), key.encode(), key)


@case
def ranges_are_exact(server):
    s3, data = client(server), pattern(100_000, 'range')
    s3.put_object(Bucket=BUCKET, Key='range', Body=data)
    for header, want in (('bytes=0-0', (0, 1)), ('bytes=0-99999', (0, 100_000)), ('bytes=99999-', (99_999, 100_000)), ('bytes=-1', (99_999, 100_000)),
                         ('bytes=-100000', (0, 100_000)), ('bytes=-999999', (0, 100_000)), ('bytes=50000-50009', (50_000, 50_010)), ('bytes=99990-200000', (99_990, 100_000))):
        answer = s3.get_object(Bucket=BUCKET, Key='range', Range=header)
        same(body(answer), data[want[0]:want[1]], header)
        same(answer['ContentRange'], f'bytes {want[0]}-{want[1] - 1}/100000', header)
        same(answer['ResponseMetadata']['HTTPStatusCode'], 206, header)
    for header in ('bytes=100000-', 'bytes=200000-300000', 'bytes=-0'):
        refused(lambda: s3.get_object(Bucket=BUCKET, Key='range', Range=header), 'InvalidRange', 416)
    # What is no range of bytes is ignored (RFC 9110, 14.2): the whole object comes.
    for header in ('lines=1-2', 'bytes=5-2', 'nonsense'):
        same(len(body(s3.get_object(Bucket=BUCKET, Key='range', Range=header))), 100_000, header)
    same(s3.head_object(Bucket=BUCKET, Key='range', Range='bytes=0-9')['ContentLength'], 10, 'HEAD with a range')


@case
def an_empty_object_has_no_range(server):
    s3 = client(server)
    s3.put_object(Bucket=BUCKET, Key='empty', Body=b'')
    answer = s3.get_object(Bucket=BUCKET, Key='empty')
    same((body(answer), answer['ETag']), (b'', '"d41d8cd98f00b204e9800998ecf8427e"'), 'empty object')
    refused(lambda: s3.get_object(Bucket=BUCKET, Key='empty', Range='bytes=0-0'), 'InvalidRange', 416)


@case
def conditions_on_reading(server):
    s3 = client(server)
    tag = s3.put_object(Bucket=BUCKET, Key='cond', Body=b'cond')['ETag']
    past, future = datetime.datetime(2015, 10, 21), datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
    for call in (s3.get_object, s3.head_object):
        for condition in ({'IfMatch': tag}, {'IfMatch': tag.strip('"')}, {'IfMatch': '*'}, {'IfNoneMatch': '"other"'}, {'IfModifiedSince': past}, {'IfUnmodifiedSince': future},
                          {'IfMatch': tag, 'IfUnmodifiedSince': past}):   # RFC 9110, 13.2.2: If-Match wins
            same(call(Bucket=BUCKET, Key='cond', **condition)['ContentLength'], 4, str(condition))
        for condition in ({'IfNoneMatch': tag}, {'IfNoneMatch': '*'}, {'IfNoneMatch': f'"x", {tag}'}, {'IfModifiedSince': future - datetime.timedelta(minutes=30)},
                          {'IfNoneMatch': tag, 'IfModifiedSince': past}):
            refused(lambda: call(Bucket=BUCKET, Key='cond', **condition), status=304)
        for condition in ({'IfMatch': '"other"'}, {'IfUnmodifiedSince': past}):
            refused(lambda: call(Bucket=BUCKET, Key='cond', **condition), status=412)
    refused(lambda: s3.get_object(Bucket=BUCKET, Key='cond', IfMatch='"other"'), 'PreconditionFailed')


@case
def conditions_on_writing(server):
    # The reference overwrites here; people build locks on these conditions.
    s3 = client(server)
    s3.put_object(Bucket=BUCKET, Key='lock', Body=b'1', IfNoneMatch='*')
    refused(lambda: s3.put_object(Bucket=BUCKET, Key='lock', Body=b'2', IfNoneMatch='*'), 'PreconditionFailed', 412)
    tag = s3.head_object(Bucket=BUCKET, Key='lock')['ETag']
    refused(lambda: s3.put_object(Bucket=BUCKET, Key='lock', Body=b'3', IfMatch='"other"'), 'PreconditionFailed', 412)
    same(body(s3.get_object(Bucket=BUCKET, Key='lock')), b'1', 'after refusals')
    s3.put_object(Bucket=BUCKET, Key='lock', Body=b'4', IfMatch=tag)
    same(body(s3.get_object(Bucket=BUCKET, Key='lock')), b'4', 'after the condition held')
    refused(lambda: s3.put_object(Bucket=BUCKET, Key='no-lock', Body=b'5', IfMatch=tag), status=404)


@case
def response_overrides_are_answered(server):
    answer = client(server).get_object(Bucket=BUCKET, Key='a/b.txt', ResponseContentType='application/x-y', ResponseContentDisposition='attachment; filename="ü.txt"'.encode().decode('latin-1'),
                                       ResponseCacheControl='no-store', ResponseContentLanguage='de', ResponseContentEncoding='identity')
    same((answer['ContentType'], answer['CacheControl'], answer['ContentLanguage'], answer['ContentEncoding']), ('application/x-y', 'no-store', 'de', 'identity'), 'overrides')
    contains(answer['ContentDisposition'], 'attachment; filename="', 'disposition')


@case
def copies_keep_or_replace_metadata(server):
    s3 = client(server)
    s3.put_object(Bucket=BUCKET, Key='src', Body=b'source', ContentType='text/one', CacheControl='max-age=1', Metadata={'a': '1'})
    answer = s3.copy_object(Bucket=BUCKET, Key='dst', CopySource=f'/{BUCKET}/src')
    same(answer['CopyObjectResult']['ETag'], '"' + hashlib.md5(b'source').hexdigest() + '"', 'ETag of the copy')
    head = s3.head_object(Bucket=BUCKET, Key='dst')
    same((head['ContentType'], head['CacheControl'], head['Metadata']), ('text/one', 'max-age=1', {'a': '1'}), 'kept')
    s3.copy_object(Bucket=BUCKET, Key='dst', CopySource={'Bucket': BUCKET, 'Key': 'src'}, MetadataDirective='REPLACE', ContentType='text/two', Metadata={'b': '2'})
    head = s3.head_object(Bucket=BUCKET, Key='dst')
    same((head['ContentType'], head['Metadata']), ('text/two', {'b': '2'}), 'replaced')
    same(body(s3.get_object(Bucket=BUCKET, Key='dst')), b'source', 'bytes')
    # Onto itself it changes metadata (the usual way to do that in S3); without a change it is refused.
    s3.copy_object(Bucket=BUCKET, Key='dst', CopySource=f'{BUCKET}/dst', MetadataDirective='REPLACE', ContentType='text/three')
    answer = s3.get_object(Bucket=BUCKET, Key='dst')
    same((body(answer), answer['ContentType'], answer['Metadata']), (b'source', 'text/three', {}), 'onto itself')


@case
def copies_check_the_source(server):
    s3 = client(server)
    tag = s3.head_object(Bucket=BUCKET, Key='src')['ETag']
    refused(lambda: s3.copy_object(Bucket=BUCKET, Key='c', CopySource=f'{BUCKET}/missing'), 'NoSuchKey', 404)
    refused(lambda: s3.copy_object(Bucket=BUCKET, Key='c', CopySource='no-such-bucket/x'), 'NoSuchBucket', 404)
    refused(lambda: s3.copy_object(Bucket='no-such-bucket', Key='c', CopySource=f'{BUCKET}/src'), 'NoSuchBucket', 404)
    for condition in ({'CopySourceIfMatch': '"x"'}, {'CopySourceIfNoneMatch': tag}, {'CopySourceIfUnmodifiedSince': datetime.datetime(2015, 10, 21)}):
        refused(lambda: s3.copy_object(Bucket=BUCKET, Key='c', CopySource=f'{BUCKET}/src', **condition), 'PreconditionFailed', 412)
    refused(lambda: s3.head_object(Bucket=BUCKET, Key='c'), status=404)
    s3.copy_object(Bucket=BUCKET, Key='c', CopySource=f'{BUCKET}/src', CopySourceIfMatch=tag)


@case
def deletes_are_quiet_about_what_is_not_there(server):
    s3 = client(server)
    s3.put_object(Bucket=BUCKET, Key='gone', Body=b'x')
    for _ in range(2):
        same(s3.delete_object(Bucket=BUCKET, Key='gone')['ResponseMetadata']['HTTPStatusCode'], 204, 'DeleteObject')
    refused(lambda: s3.get_object(Bucket=BUCKET, Key='gone'), 'NoSuchKey', 404)
    refused(lambda: s3.head_object(Bucket=BUCKET, Key='gone'), '404', 404)
    refused(lambda: s3.delete_object(Bucket='no-such-bucket', Key='gone'), 'NoSuchBucket', 404)


@case
def many_deletes_in_one_request(server):
    s3 = client(server)
    names = [f'many/{i} ü&<>.txt' for i in range(25)]
    for name in names:
        s3.put_object(Bucket=BUCKET, Key=name, Body=b'')
    answer = s3.delete_objects(Bucket=BUCKET, Delete={'Objects': [{'Key': n} for n in names[:10]] + [{'Key': 'many/never was'}]})
    same(sorted(d['Key'] for d in answer['Deleted']), sorted(names[:10] + ['many/never was']), 'Deleted')
    same(answer.get('Errors', []), [], 'Errors')
    answer = s3.delete_objects(Bucket=BUCKET, Delete={'Objects': [{'Key': n} for n in names[10:20]], 'Quiet': True})
    same((answer.get('Deleted', []), answer.get('Errors', [])), ([], []), 'quiet answer')
    same(len(keys(s3.list_objects_v2(Bucket=BUCKET, Prefix='many/'))), 5, 'left')
    refused(lambda: s3.delete_objects(Bucket=BUCKET, Delete={'Objects': [{'Key': f'k{i}'} for i in range(1001)]}), 'MalformedXML', 400)
    s3.delete_objects(Bucket=BUCKET, Delete={'Objects': [{'Key': n} for n in names] + [{'Key': f'k{i}'} for i in range(975)]})
    same(keys(s3.list_objects_v2(Bucket=BUCKET, Prefix='many/')), [], 'after all')


@case
def a_full_bucket_is_not_deleted(server):
    refused(lambda: client(server).delete_bucket(Bucket=BUCKET), 'BucketNotEmpty', 409)


@case
def what_is_not_built_says_so_and_does_nothing(server):
    # The reference lists objects, overwrites or deletes here, with success.
    s3 = client(server)
    s3.put_object(Bucket=BUCKET, Key='stay', Body=b'stay')
    for method, path, query in (('PUT', '/stay', 'retention'), ('PUT', '/stay', 'legal-hold'), ('PUT', '/stay', 'acl'), ('DELETE', '', 'policy'), ('DELETE', '', 'cors'), ('DELETE', '', 'lifecycle'),
                                ('PUT', '', 'versioning'), ('PUT', '', 'website'), ('POST', '/stay', 'restore'), ('POST', '/stay', 'select&select-type=2'), ('GET', '/stay', 'torrent')):
        status, code, text, headers = raw(s3, method, f'/{BUCKET}{path}', query)
        contains(headers.get('content-type', ''), 'xml', f'{method} ?{query}')
        same((status, code), (501, 'NotImplemented'), f'{method} {path}?{query}')
        true(b'<Contents>' not in text, f'{method} ?{query} answered a listing')
    same(body(s3.get_object(Bucket=BUCKET, Key='stay')), b'stay', 'object after all')


@case
def errors_carry_what_aws_errors_carry(server):
    s3 = client(server)
    status, code, text, headers = raw(s3, 'GET', f'/{BUCKET}/no/such/key')
    same((status, code), (404, 'NoSuchKey'), 'error')
    for part in (b'<Message>', b'<RequestId>', b'<HostId>'):
        contains(text, part, 'error document')
    contains(headers['content-type'], 'application/xml', 'type')
    true(headers.get('x-amz-request-id'), 'no x-amz-request-id')
    same(raw(s3, 'HEAD', f'/{BUCKET}/no/such/key')[2], b'', 'body of a HEAD answer')


@case
def both_mounts_serve_the_same_objects(server):
    direct = client(server, endpoint=server.url + '/s3')
    same(body(direct.get_object(Bucket=BUCKET, Key='stay')), b'stay', 'under /s3')
    same(raw(direct, 'GET', f'/{BUCKET}/', 'list-type=2&prefix=stay')[0], 200, 'bucket with a trailing slash')


@case
def the_time_of_change_moves_forward(server):
    s3 = client(server)
    s3.put_object(Bucket=BUCKET, Key='clock', Body=b'1')
    first = s3.head_object(Bucket=BUCKET, Key='clock')['LastModified']
    time.sleep(1.1)
    s3.put_object(Bucket=BUCKET, Key='clock', Body=b'2')
    true(s3.head_object(Bucket=BUCKET, Key='clock')['LastModified'] > first, 'LastModified did not move')


if __name__ == '__main__':
    main()
