"""S3 and REST on the same objects: what either writes, the other reads, lists, signs, copies, moves and deletes; and they agree about it."""
import base64
import json
from urllib.parse import quote

import requests

import s3 as s3lib
from harness import Failure, case, contains, main, same, true
from s3 import body, keys, pattern, prefixes, refused

BUCKET = 'cross'
LARGE = pattern(11 * 1024 * 1024, 3)
METADATA = {'colour': 'green', 'number': '7'}
# key: bytes and how they are written; both protocols read all of them.
WRITTEN = {
    's3/plain.txt': b'by S3', 's3/multipart.bin': LARGE, 's3/empty': b'', 's3/sub/ünï 日本+&.txt': b'of S3, with a name',
    'rest/raw.txt': b'by REST', 'rest/form.txt': b'of a form', 'rest/empty': b'', 'rest/sub/ünï 日本+&.txt': b'of REST, with a name', 'rest/signed.txt': b'by a signature',
}


class Rest:
    """The REST API as the service role."""

    def __init__(self, server):
        self.base = server.url + '/storage/v1'
        self.headers = {'authorization': f'Bearer {server.keys.get("SERVICE_ROLE_KEY") or server.keys["SERVICE_KEY"]}'}

    def ask(self, method, path, status=200, token=True, **more):
        headers = {**(self.headers if token else {}), **more.pop('headers', {})}
        answer = requests.request(method, self.base + path, headers=headers, timeout=60, **more)
        if answer.status_code != status:
            raise Failure(f'{method} {path}: {answer.status_code} {answer.text:.300}')
        return answer

    def get(self, key):
        return self.ask('GET', f'/object/{BUCKET}/{quote(key)}')

    def info(self, key):
        return self.ask('GET', f'/object/info/{BUCKET}/{quote(key)}').json()

    def missing(self, key):
        same(self.ask('GET', f'/object/info/{BUCKET}/{quote(key)}', 400).json()['statusCode'], '404', f'{key} over REST')

    def names(self, prefix):
        """Files and folders of a folder, as {name: whether it is a folder}."""
        return {entry['name']: entry['id'] is None for entry in self.ask('POST', f'/object/list/{BUCKET}', json={'prefix': prefix}).json()}


def both(server):
    return s3lib.client(server), Rest(server)


@case
def written_by_either(server):
    s3, rest = both(server)
    s3.create_bucket(Bucket=BUCKET)
    options = dict(Bucket=BUCKET, ContentType='text/x-test', CacheControl='max-age=77', Metadata=METADATA)
    for key in (k for k in WRITTEN if k.startswith('s3/') and k != 's3/multipart.bin'):
        s3.put_object(Key=key, Body=WRITTEN[key], **options)
    upload = s3.create_multipart_upload(Key='s3/multipart.bin', **options)['UploadId']
    parts = []
    for number, part in enumerate((LARGE[:5 << 20], LARGE[5 << 20:10 << 20], LARGE[10 << 20:]), 1):
        etag = s3.upload_part(Bucket=BUCKET, Key='s3/multipart.bin', UploadId=upload, PartNumber=number, Body=part)['ETag']
        parts.append({'PartNumber': number, 'ETag': etag})
    s3.complete_multipart_upload(Bucket=BUCKET, Key='s3/multipart.bin', UploadId=upload, MultipartUpload={'Parts': parts})
    headers = {'content-type': 'text/x-test', 'cache-control': 'max-age=77', 'x-metadata': base64.b64encode(json.dumps(METADATA).encode()).decode()}
    for key in ('rest/raw.txt', 'rest/empty', 'rest/sub/ünï 日本+&.txt'):
        rest.ask('POST', f'/object/{BUCKET}/{quote(key)}', data=WRITTEN[key], headers=headers)
    fields = {'cacheControl': '77', 'metadata': json.dumps(METADATA)}
    rest.ask('POST', f'/object/{BUCKET}/rest/form.txt', data=fields, files={'': ('form.txt', WRITTEN['rest/form.txt'], 'text/x-test')})
    url = rest.ask('POST', f'/object/upload/sign/{BUCKET}/rest/signed.txt').json()['url']
    rest.ask('PUT', url, token=False, data=WRITTEN['rest/signed.txt'], headers=headers)


def agree(s3, rest, key, content, metadata=METADATA):
    """Everything about one object, from both sides."""
    got = s3.get_object(Bucket=BUCKET, Key=key)
    read = rest.get(key)
    same((body(got) == content, read.content == content), (True, True), f'bytes of {key}')
    info = rest.info(key)
    for what, of_s3, of_rest, of_info, wanted in (
            ('type', got['ContentType'], read.headers['content-type'], info['content_type'], 'text/x-test'),
            ('cache control', got.get('CacheControl'), read.headers['cache-control'], info['cache_control'], 'max-age=77'),
            ('size', got['ContentLength'], int(read.headers['content-length']), info['size'], len(content)),
            ('metadata', got['Metadata'], info['metadata'], info['metadata'], metadata),
            ('etag', got['ETag'], read.headers['etag'], info['etag'], got['ETag'])):
        same((of_s3, of_rest, of_info), (wanted,) * 3, f'{what} of {key}')
    same(read.headers['last-modified'], got['ResponseMetadata']['HTTPHeaders']['last-modified'], f'time of {key}')


@case
def both_agree_about_every_object(server):
    s3, rest = both(server)
    for key, content in WRITTEN.items():
        agree(s3, rest, key, content)


@case
def ranges_and_conditions_agree(server):
    s3, rest = both(server)
    for key in ('s3/multipart.bin', 'rest/raw.txt'):
        head = s3.head_object(Bucket=BUCKET, Key=key)
        path = f'/object/{BUCKET}/{key}'
        part = rest.ask('GET', path, 206, headers={'range': 'bytes=2-5'})
        got = s3.get_object(Bucket=BUCKET, Key=key, Range='bytes=2-5')
        same((part.content, part.headers['content-range']), (body(got), got['ContentRange']), f'range of {key}')
        rest.ask('GET', path, 304, headers={'if-none-match': head['ETag']})


@case
def lists_agree(server):
    s3, rest = both(server)
    same(keys(s3.list_objects_v2(Bucket=BUCKET)), sorted(WRITTEN, key=str.encode), 'S3 list')
    page = rest.ask('POST', f'/object/list-v2/{BUCKET}', json={}).json()
    same([entry['name'] for entry in page['objects']], sorted(WRITTEN, key=str.encode), 'REST list')
    sizes = {entry['Key']: entry['Size'] for entry in s3.list_objects_v2(Bucket=BUCKET)['Contents']}
    same({entry['name']: entry['metadata']['size'] for entry in page['objects']}, sizes, 'sizes')
    for folder in ('s3/', 'rest/'):
        view = s3.list_objects_v2(Bucket=BUCKET, Prefix=folder, Delimiter='/')
        seen = {key[len(folder):]: False for key in keys(view)} | {prefix[len(folder):-1]: True for prefix in prefixes(view)}
        same(rest.names(folder), seen, f'folder {folder}')
        flat = rest.ask('POST', f'/object/list-v2/{BUCKET}', json={'prefix': folder, 'with_delimiter': True}).json()
        same([entry['name'] for entry in flat['folders']], prefixes(view), f'folders of {folder}')


@case
def folders_of_either(server):
    s3, rest = both(server)
    s3.put_object(Bucket=BUCKET, Key='made-by-s3/', Body=b'')
    rest.ask('POST', f'/object/{BUCKET}/made-by-rest/.emptyFolderPlaceholder', data=b'')
    for folder in ('made-by-s3', 'made-by-rest'):
        same(rest.names('').get(folder), True, f'{folder} over REST')
        true(f'{folder}/' in prefixes(s3.list_objects_v2(Bucket=BUCKET, Delimiter='/')), f'{folder} is no folder over S3')
        same(s3.head_object(Bucket=BUCKET, Key=f'{folder}/')['ContentLength'], 0, 'size')
        same(list(rest.names(folder)), ['.emptyFolderPlaceholder'], 'content')
    s3.delete_object(Bucket=BUCKET, Key='made-by-rest/')
    rest.ask('DELETE', f'/object/{BUCKET}', json={'prefixes': ['made-by-s3/.emptyFolderPlaceholder']})
    true(not {'made-by-s3', 'made-by-rest'} & set(rest.names('')), 'a folder is left')


@case
def signed_by_either(server):
    s3, rest = both(server)
    for key, content in WRITTEN.items():
        presigned = s3.generate_presigned_url('get_object', Params={'Bucket': BUCKET, 'Key': key}, ExpiresIn=60)
        true(requests.get(presigned, timeout=60).content == content, f'presigned {key}')
        signed = rest.ask('POST', f'/object/sign/{BUCKET}/{quote(key)}', json={'expiresIn': 60}).json()['signedURL']
        true(rest.ask('GET', signed, token=False).content == content, f'signed {key}')
    put = s3.generate_presigned_url('put_object', Params={'Bucket': BUCKET, 'Key': 'presigned'}, ExpiresIn=60)
    same(requests.put(put, data=b'x', timeout=60).status_code, 200, 'presigned PUT')
    same(rest.get('presigned').content, b'x', 'what it wrote')


@case
def overwritten_by_the_other(server):
    s3, rest = both(server)
    s3.put_object(Bucket=BUCKET, Key='over', Body=b'first', Metadata={'old': '1'})
    rest.ask('POST', f'/object/{BUCKET}/over', 400, data=b'second')
    rest.ask('POST', f'/object/{BUCKET}/over', data=b'second', headers={'x-upsert': 'true', 'content-type': 'text/plain'})
    same(body(s3.get_object(Bucket=BUCKET, Key='over')), b'second', 'by REST')
    s3.put_object(Bucket=BUCKET, Key='over', Body=b'third', ContentType='text/x-3')
    answer = rest.get('over')
    same((answer.content, answer.headers['content-type']), (b'third', 'text/x-3'), 'by S3')
    refused(lambda: s3.put_object(Bucket=BUCKET, Key='over', Body=b'x', IfNoneMatch='*'), 'PreconditionFailed')


@case
def copied_and_moved_by_the_other(server):
    s3, rest = both(server)
    for key in ('s3/plain.txt', 's3/multipart.bin', 'rest/raw.txt', 'rest/form.txt'):
        content = WRITTEN[key]
        rest.ask('POST', '/object/copy', json={'bucketId': BUCKET, 'sourceKey': key, 'destinationKey': 'copies/rest'}, headers={'x-upsert': 'true'})
        agree(s3, rest, 'copies/rest', content)
        s3.copy_object(Bucket=BUCKET, Key='copies/s3', CopySource={'Bucket': BUCKET, 'Key': key})
        agree(s3, rest, 'copies/s3', content)
        rest.ask('POST', '/object/move', json={'bucketId': BUCKET, 'sourceKey': 'copies/s3', 'destinationKey': 'copies/moved'})
        refused(lambda: s3.head_object(Bucket=BUCKET, Key='copies/s3'), '404')
        agree(s3, rest, 'copies/moved', content)
        s3.delete_object(Bucket=BUCKET, Key='copies/moved')
        rest.missing('copies/moved')


@case
def metadata_that_only_one_can_say(server):
    s3, rest = both(server)
    deep = {'name': 'ünï', 'list': [1, 2], 'flag': True}
    rest.ask('POST', f'/object/{BUCKET}/deep', data=b'x', headers={'x-metadata': base64.b64encode(json.dumps(deep).encode()).decode()})
    same(body(s3.get_object(Bucket=BUCKET, Key='deep')), b'x', 'what S3 cannot name in full is still read')
    rest.ask('POST', '/object/copy', json={'bucketId': BUCKET, 'sourceKey': 'deep', 'destinationKey': 'deep-copy'})
    rest.ask('POST', '/object/move', json={'bucketId': BUCKET, 'sourceKey': 'deep-copy', 'destinationKey': 'deep-moved'})
    same(rest.info('deep-moved')['metadata'], deep, 'metadata after a copy and a move')
    # S3 has no values but texts, and passes on what it cannot say.
    source = {'Bucket': BUCKET, 'Key': 'deep'}
    s3.copy_object(Bucket=BUCKET, Key='deep-s3', CopySource=source)
    same(rest.info('deep-s3')['metadata'], deep, 'metadata after a copy over S3')
    s3.copy_object(Bucket=BUCKET, Key='deep-redirected', CopySource=source, WebsiteRedirectLocation='/there')
    same(rest.info('deep-redirected')['metadata'], deep, 'metadata after a copy over S3 with a redirect')
    s3.copy_object(Bucket=BUCKET, Key='deep-new', CopySource=source, MetadataDirective='REPLACE', Metadata={'colour': 'red'})
    same(rest.info('deep-new')['metadata'], {'colour': 'red'}, 'metadata given in the place of the source')
    s3.put_object(Bucket=BUCKET, Key='disposed', Body=b'x', ContentDisposition='attachment; filename="a.txt"', ContentLanguage='de')
    rest.ask('POST', '/object/move', json={'bucketId': BUCKET, 'sourceKey': 'disposed', 'destinationKey': 'disposed-moved'})
    head = s3.head_object(Bucket=BUCKET, Key='disposed-moved')
    same((head['ContentDisposition'], head['ContentLanguage']), ('attachment; filename="a.txt"', 'de'), 'headers of S3 after a move over REST')


@case
def what_only_s3_can_say_is_not_shown_by_rest(server):
    s3, rest = both(server)
    s3.put_object(Bucket=BUCKET, Key='inside/own', Body=b'x', ContentDisposition='inline', ContentEncoding='gzip', ChecksumAlgorithm='SHA256')
    s3.put_object_tagging(Bucket=BUCKET, Key='inside/own', Tagging={'TagSet': [{'Key': 'a', 'Value': '1'}]})
    same(server.sql("select metadata->'rowlock' ?& array['contentDisposition', 'checksum', 'tags'] from storage.objects where name = 'inside/own'"), 't', 'what is stored')
    copied = rest.ask('POST', '/object/copy', json={'bucketId': BUCKET, 'sourceKey': 'inside/own', 'destinationKey': 'inside/copied'}).json()
    same(server.sql("select metadata->'rowlock' ?& array['contentDisposition', 'checksum', 'tags'] from storage.objects where name = 'inside/copied'"), 't', 'what a copy stores')
    rows = [copied, *rest.ask('POST', f'/object/list/{BUCKET}', json={'prefix': 'inside'}).json(), *rest.ask('POST', f'/object/list-v2/{BUCKET}', json={'prefix': 'inside/'}).json()['objects'],
            *rest.ask('POST', f'/object/list-v2/{BUCKET}', json={'prefix': 'inside/', 'with_delimiter': True}).json()['objects']]
    rows += rest.ask('DELETE', f'/object/{BUCKET}', json={'prefixes': ['inside/copied']}).json()
    same([sorted(row['metadata']) for row in rows], [sorted(('eTag', 'size', 'mimetype', 'cacheControl', 'lastModified', 'contentLength', 'httpStatusCode'))] * 8, 'what REST shows')
    true('rowlock' not in json.dumps([rows, rest.info('inside/own')]), 'a name of ours')
    s3.delete_object(Bucket=BUCKET, Key='inside/own')


@case
def deleted_by_the_other(server):
    s3, rest = both(server)
    rest.ask('DELETE', f'/object/{BUCKET}/{quote("s3/plain.txt")}')
    refused(lambda: s3.get_object(Bucket=BUCKET, Key='s3/plain.txt'), 'NoSuchKey', 404)
    rest.ask('DELETE', f'/object/{BUCKET}', json={'prefixes': ['s3/multipart.bin', 's3/empty']})
    same(keys(s3.list_objects_v2(Bucket=BUCKET, Prefix='s3/')), ['s3/sub/ünï 日本+&.txt'], 'left of S3')
    s3.delete_objects(Bucket=BUCKET, Delete={'Objects': [{'Key': key} for key in WRITTEN if key.startswith('rest/')]})
    same(rest.names('rest'), {}, 'left of REST')
    rest.missing('rest/raw.txt')


@case
def buckets_of_either(server):
    s3, rest = both(server)
    rest.ask('POST', '/bucket', json={'name': 'by-rest', 'public': True, 'file_size_limit': 10, 'allowed_mime_types': ['text/plain']})
    true('by-rest' in [bucket['Name'] for bucket in s3.list_buckets()['Buckets']], 'by-rest is not listed over S3')
    refused(lambda: s3.create_bucket(Bucket='by-rest'), 'BucketAlreadyOwnedByYou', 409)
    refused(lambda: s3.put_object(Bucket='by-rest', Key='x', Body=b'x' * 11, ContentType='text/plain'), 'EntityTooLarge')
    refused(lambda: s3.put_object(Bucket='by-rest', Key='x', Body=b'x', ContentType='image/png'))
    s3.put_object(Bucket='by-rest', Key='x', Body=b'x', ContentType='text/plain')
    same(rest.ask('GET', '/object/public/by-rest/x', token=False).content, b'x', 'public read of what S3 wrote')
    refused(lambda: s3.delete_bucket(Bucket='by-rest'), 'BucketNotEmpty', 409)
    same(rest.ask('DELETE', '/bucket/by-rest', 400).json()['statusCode'], '409', 'REST delete of a full bucket')
    rest.ask('POST', '/bucket/by-rest/empty')
    same(keys(s3.list_objects_v2(Bucket='by-rest')), [], 'emptied')
    s3.delete_bucket(Bucket='by-rest')
    same(rest.ask('GET', '/bucket/by-rest', 400).json()['statusCode'], '404', 'REST after the end')
    contains(rest.ask('GET', f'/bucket/{BUCKET}').text, BUCKET, 'bucket made by S3')
    # A pending upload begun before a bucket is emptied ends with it.
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key='pending')['UploadId']
    rest.ask('POST', f'/bucket/{BUCKET}/empty')
    same(keys(s3.list_objects_v2(Bucket=BUCKET)), [], 'left after the end')
    refused(lambda: s3.upload_part(Bucket=BUCKET, Key='pending', UploadId=upload, PartNumber=1, Body=b'x'), 'NoSuchUpload', 404)
    rest.ask('DELETE', f'/bucket/{BUCKET}')
    refused(lambda: s3.head_bucket(Bucket=BUCKET), '404')


if __name__ == '__main__':
    main()
