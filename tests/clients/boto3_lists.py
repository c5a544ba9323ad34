"""boto3: lists. Every answer is compared with a model of S3's rules (listmodel.py)."""
import itertools

from listmodel import entries, page_entries, walk_v1, walk_v2
from s3 import client, keys, prefixes, raw, refused
from harness import case, contains, main, same, true

BUCKET = 'list-bucket'
NAMES = ['a', 'a/1', 'a/2', 'a/b/3', 'a/b/4', 'a//x', 'a0', 'ab', 'b/', 'b/c', 'c%2Fd', 'c d', 'c+d', 'd&<>"\'', 'é/1', 'é/2', 'e\u0301', 'z', 'zz/zz/zz', '日/本', '日本', '😀/x', '_under_score', 'UPPER', 'aXbXc', 'aXb', '/lead/slash', 'x' * 300]


@case
def an_empty_bucket_lists_nothing(server):
    s3 = client(server)
    s3.create_bucket(Bucket=BUCKET)
    for answer in (s3.list_objects_v2(Bucket=BUCKET), s3.list_objects(Bucket=BUCKET)):
        same((answer['IsTruncated'], answer['Name'], answer['MaxKeys'], answer.get('Contents')), (False, BUCKET, 1000, None), 'empty list')
    same(s3.list_objects_v2(Bucket=BUCKET)['KeyCount'], 0, 'KeyCount')
    for name in NAMES:
        s3.put_object(Bucket=BUCKET, Key=name, Body=name.encode())


@case
def keys_come_in_the_order_of_their_bytes(server):
    # Not the database's collation: 'UPPER' before '_under' before 'a', and é (two bytes) after z.
    stored = sorted(NAMES, key=lambda n: n.encode())
    same(keys(client(server).list_objects_v2(Bucket=BUCKET)), stored, 'order')
    same(keys(client(server).list_objects(Bucket=BUCKET)), stored, 'order, version 1')


@case
def every_field_of_an_entry_is_right(server):
    s3 = client(server)
    entry = s3.list_objects_v2(Bucket=BUCKET, Prefix='ab')['Contents'][0]
    head = s3.head_object(Bucket=BUCKET, Key='ab')
    same((entry['Size'], entry['ETag'], entry['StorageClass']), (2, head['ETag'], 'STANDARD'), 'entry')
    true(abs((entry['LastModified'] - head['LastModified']).total_seconds()) <= 1, 'LastModified of the list and of HEAD differ')
    true('Owner' not in entry, 'version 2 without fetch-owner must not name the owner')
    contains(s3.list_objects_v2(Bucket=BUCKET, Prefix='ab', FetchOwner=True)['Contents'][0]['Owner'], 'ID', 'owner')
    contains(s3.list_objects(Bucket=BUCKET, Prefix='ab')['Contents'][0]['Owner'], 'ID', 'owner, version 1')


PREFIXES = ['', 'a', 'a/', 'a/b', 'b/', 'c%', 'é/', '日', 'zz', 'nothing', '_', 'A', '/', 'd&<']
DELIMITERS = ['', '/', '//', 'X', 'b', '%', '日', 'nowhere', ' ', '+']


@case
def every_prefix_and_delimiter_fits_the_model(server):
    s3 = client(server)
    for prefix, delimiter in itertools.product(PREFIXES, DELIMITERS):
        want = entries(NAMES, prefix, delimiter)
        query = {k: v for k, v in (('Prefix', prefix), ('Delimiter', delimiter)) if v}
        answer = s3.list_objects_v2(Bucket=BUCKET, **query)
        same(page_entries(answer), want, f'prefix {prefix!r} delimiter {delimiter!r}')
        same(answer['KeyCount'], len(want), f'KeyCount of prefix {prefix!r} delimiter {delimiter!r}')
        same(page_entries(s3.list_objects(Bucket=BUCKET, **query)), want, f'version 1, prefix {prefix!r} delimiter {delimiter!r}')


@case
def every_page_size_gives_the_same_whole(server):
    s3 = client(server)
    for size, delimiter, walk in itertools.product((1, 2, 3, 7, 27, 28, 29), ('', '/', 'X'), (walk_v1, walk_v2)):
        query = {'Delimiter': delimiter} if delimiter else {}
        pages = [page_entries(a) for a in walk(s3, BUCKET, MaxKeys=size, **query)]
        same([e for p in pages for e in p], entries(NAMES, '', delimiter), f'{walk.__name__} of {size} by {delimiter!r}')
        # A full last page must not claim that more follows, nor any page be short but the last.
        same([len(p) for p in pages[:-1]], [size] * (len(pages) - 1), f'{walk.__name__}: page lengths')
        true(pages[-1], f'{walk.__name__} of {size} by {delimiter!r}: an empty last page')


@case
def start_after_need_not_exist(server):
    s3 = client(server)
    for after in ('a', 'a/', 'a/b/3', 'a/zzz', 'b/', 'zzzz', 'é', '😀/x', '\U0010ffff', 'a/b/'):
        for delimiter in ('', '/'):
            query = {'Delimiter': delimiter} if delimiter else {}
            want = entries(NAMES, '', delimiter, after)
            same(page_entries(s3.list_objects_v2(Bucket=BUCKET, StartAfter=after, **query)), want, f'start-after {after!r} delimiter {delimiter!r}')
    same(keys(s3.list_objects(Bucket=BUCKET, Marker='a/1', MaxKeys=2)), ['a/2', 'a/b/3'], 'marker')


@case
def a_token_wins_over_start_after(server):
    s3 = client(server)
    first = s3.list_objects_v2(Bucket=BUCKET, MaxKeys=3)
    second = s3.list_objects_v2(Bucket=BUCKET, MaxKeys=3, ContinuationToken=first['NextContinuationToken'], StartAfter='zz')
    same(keys(second), keys(s3.list_objects_v2(Bucket=BUCKET))[3:6], 'second page')
    same(second['ContinuationToken'], first['NextContinuationToken'], 'ContinuationToken echoed')
    refused(lambda: s3.list_objects_v2(Bucket=BUCKET, ContinuationToken='garbage'), 'InvalidArgument', 400)


@case
def a_token_holds_while_keys_come_and_go(server):
    # Pages are cut by key, not by number: what is added or removed between two pages shifts nothing else.
    s3 = client(server)
    first = s3.list_objects_v2(Bucket=BUCKET, Prefix='a', MaxKeys=3)
    s3.put_object(Bucket=BUCKET, Key='a!before', Body=b'')
    s3.delete_object(Bucket=BUCKET, Key=keys(first)[-1])
    rest = s3.list_objects_v2(Bucket=BUCKET, Prefix='a', ContinuationToken=first['NextContinuationToken'])
    same(keys(first) + keys(rest), keys_of(NAMES, 'a'), 'both pages')
    s3.put_object(Bucket=BUCKET, Key=keys(first)[-1], Body=keys(first)[-1].encode())
    s3.delete_object(Bucket=BUCKET, Key='a!before')


def keys_of(names, prefix):
    return [e[1] for e in entries(names, prefix)]


@case
def max_keys_zero_is_an_empty_page(server):
    for call in (client(server).list_objects_v2, client(server).list_objects):
        answer = call(Bucket=BUCKET, MaxKeys=0)
        same((answer.get('Contents'), answer['IsTruncated'], answer['MaxKeys']), (None, False, 0), 'max-keys=0')


@case
def max_keys_over_a_thousand_is_a_thousand(server):
    same(client(server).list_objects_v2(Bucket=BUCKET, MaxKeys=5000)['MaxKeys'], 1000, 'MaxKeys')
    for bad in ('-1', 'x', '99999999999999999999', '1.5'):
        same(raw(client(server), 'GET', f'/{BUCKET}', f'list-type=2&max-keys={bad}')[:2], (400, 'InvalidArgument'), f'max-keys={bad}')


@case
def the_url_encoding_covers_every_name(server):
    # botocore asks for it by default and decodes; here the raw answer is looked at.
    s3 = client(server)
    text = raw(s3, 'GET', f'/{BUCKET}', 'list-type=2&encoding-type=url&delimiter=%2F&prefix=%C3%A9%2F&start-after=%C3%A9%2F0')[2].decode()
    for part in ('<EncodingType>url</EncodingType>', '<Key>%C3%A9/1</Key>', '<Prefix>%C3%A9/</Prefix>', '<Delimiter>/</Delimiter>', '<StartAfter>%C3%A9/0</StartAfter>'):
        contains(text, part, 'encoded list')
    text = raw(s3, 'GET', f'/{BUCKET}', 'list-type=2&encoding-type=url&prefix=c')[2].decode()
    for part in ('<Key>c%252Fd</Key>', '<Key>c%2Bd</Key>'):
        contains(text, part, 'encoded list')
    contains(text.replace('c%20d', 'c+d'), '<Key>c+d</Key>', 'the space in a name')
    plain = raw(s3, 'GET', f'/{BUCKET}', 'list-type=2&prefix=d')[2].decode()
    contains(plain, '<Key>d&amp;&lt;&gt;', 'names in plain XML')
    true('EncodingType' not in plain, 'EncodingType without having been asked for')
    same(raw(s3, 'GET', f'/{BUCKET}', 'list-type=2&encoding-type=base64')[:2], (400, 'InvalidArgument'), 'unknown encoding')


@case
def the_zero_byte_folder_is_listed_as_stored(server):
    # A client's folder marker is a placeholder object to REST clients; S3 lists it under its stored name.
    s3 = client(server)
    s3.put_object(Bucket=BUCKET, Key='marker/', Body=b'')
    same(keys(s3.list_objects_v2(Bucket=BUCKET, Prefix='marker/')), ['marker/.emptyFolderPlaceholder'], 'listing')
    same(prefixes(s3.list_objects_v2(Bucket=BUCKET, Delimiter='/', Prefix='marker')), ['marker/'], 'as a folder')
    same(s3.head_object(Bucket=BUCKET, Key='marker/')['ContentLength'], 0, 'HEAD of the marker')
    s3.delete_object(Bucket=BUCKET, Key='marker/')
    same(keys(s3.list_objects_v2(Bucket=BUCKET, Prefix='marker/')), [], 'after the delete')


@case
def lists_of_a_missing_bucket_say_so(server):
    for call in (client(server).list_objects_v2, client(server).list_objects, client(server).list_multipart_uploads):
        refused(lambda: call(Bucket='no-such-bucket'), 'NoSuchBucket', 404)


@case
def unknown_sub_resources_never_list(server):
    # The reference answers these with the list of objects.
    for sub in ('policy', 'cors', 'lifecycle', 'website', 'encryption', 'replication', 'object-lock', 'publicAccessBlock', 'ownershipControls', 'tagging', 'versions', 'acl',
                'notification', 'logging', 'accelerate', 'requestPayment', 'policyStatus', 'analytics', 'inventory', 'metrics', 'intelligent-tiering'):
        status, code, text, _ = raw(client(server), 'GET', f'/{BUCKET}', sub)
        true(b'<ListBucketResult' not in text, f'?{sub} answered a listing')
        true(status == 200 or code, f'?{sub}: status {status} without an error code')


if __name__ == '__main__':
    main()
