"""REST on objects, as the SDKs speak it: signed URLs through their encoder, lists to the end, copies and moves; and S3 sees the same."""
import base64
import json
from urllib.parse import quote

import requests
import s3 as s3lib
from harness import Failure, Server, finish

ALICE = '317eadce-631a-4429-a0bb-f19a7a517b4a'
BOB = 'd8c7bce9-cfeb-497b-bd61-e66ce2cbdaa2'
KEYS = ['plain.txt', 'a b.txt', 'plus+and&.txt', 'what?.txt', 'a?b?c', 'hash#1.txt', '100%.txt', 'x%3Fy', 'ünï/日本 語.txt', 'd//e', "quote's (1).txt", 'x?token=y']
POLICIES = """
create policy mine on storage.objects for all to authenticated using (bucket_id = 'mine' and owner_id = (select auth.uid()::text)) with check (bucket_id = 'mine');
"""


def encode_uri(text):
    """JavaScript's encodeURI, which SDKs run signed paths through."""
    return quote(text, safe="-_.!~*'();/?:@&=+$,#")


class Play:
    def __init__(self, server):
        self.server, self.base = server, server.url + '/storage/v1'
        self.service = server.keys.get('SERVICE_ROLE_KEY') or server.keys['SERVICE_KEY']
        self.passed = self.failed = 0

    def check(self, what, got, wanted):
        if got == wanted:
            self.passed += 1
        else:
            self.failed += 1
            print(f'FAILED rest_objects: {what}: {got!r:.300} instead of {wanted!r:.300}')

    def call(self, method, path, body=None, token='service', raw=None, **headers):
        token = self.service if token == 'service' else token
        head = {k.replace('_', '-'): v for k, v in headers.items()}
        if token:
            head['authorization'] = f'Bearer {token}'
        data = raw
        if body is not None:
            head['content-type'], data = 'application/json', json.dumps(body)
        return requests.request(method, self.base + path, headers=head, data=data, timeout=30)

    def code(self, response):
        return response.json().get('code') if response.status_code >= 400 else response.status_code

    def put(self, bucket, key, body='x', **more):
        response = self.call('POST', f'/object/{bucket}/{quote(key)}', raw=body, content_type='text/plain', x_upsert='true', **more)
        self.check(f'upload {key}', self.code(response), 200)

    # ------------------------------------------------------------ signatures
    def signed_downloads(self):
        for key in KEYS:
            self.put('b', key, key.encode())
            url = self.call('POST', f'/object/sign/b/{quote(key)}', {'expiresIn': 60}).json()['signedURL']
            # As SDKs use it, and as it is.
            for path in (encode_uri(url), url):
                got = self.call('GET', path, token=None)
                self.check(f'signed GET {key} by {path[:40]}', got.content, key.encode())
            # As SDKs use what the reference made, which encodes nothing.
            token = url.rsplit('?token=', 1)[1]
            if '#' not in key:
                got = self.call('GET', encode_uri(f'/object/sign/b/{key}?token={token}'), token=None)
                self.check(f'signed GET {key} as the reference writes it', got.content, key.encode())
            got = self.call('GET', f'/object/sign/b/other.txt?token={token}', token=None)
            self.check(f'signed GET of another path than {key}', self.code(got), 'InvalidSignature')
        many = self.call('POST', '/object/sign/b', {'expiresIn': 60, 'paths': KEYS + ['nope']}).json()
        self.check('sign many: order', [entry['path'] for entry in many], KEYS + ['nope'])
        self.check('sign many: nulls', [entry['signedURL'] is None for entry in many], [False] * len(KEYS) + [True])
        for entry in many[:-1]:
            got = self.call('GET', encode_uri(entry['signedURL']), token=None)
            self.check(f'one of many: {entry["path"]}', got.content, entry['path'].encode())

    def signed_uploads(self):
        alice = self.server.token(ALICE)
        for key in KEYS:
            answer = self.call('POST', f'/object/upload/sign/mine/{quote("new/" + key)}', token=alice).json()
            got = self.call('PUT', encode_uri(answer['url']), raw=b'up', token=None, content_type='text/plain')
            self.check(f'signed PUT {key}', got.json(), {'Key': f'mine/new/{key}'})
            again = self.call('PUT', encode_uri(answer['url']), raw=b'up', token=None)
            self.check(f'signed PUT {key} again', self.code(again), 'KeyAlreadyExists')
        owner = self.call('GET', f'/object/mine/new/{KEYS[0]}', token=alice)
        self.check('what is uploaded belongs to whom the URL was signed for', owner.content, b'up')
        down = self.call('POST', f'/object/sign/mine/new/{KEYS[0]}', {'expiresIn': 60}, token=alice).json()['signedURL'].rsplit('token=', 1)[1]
        up = self.call('POST', '/object/upload/sign/mine/other', token=alice).json()['token']
        self.check('a download token writes nothing', self.code(self.call('PUT', f'/object/upload/sign/mine/new/{KEYS[0]}?token={down}', raw=b'evil', token=None)), 'InvalidSignature')
        self.put('mine', 'other')
        self.check('an upload token reads nothing', self.code(self.call('GET', f'/object/sign/mine/other?token={up}', token=None)), 'InvalidSignature')
        self.check('neither opens a session', self.code(self.call('GET', f'/object/mine/new/{KEYS[0]}', token=down)), 'NoSuchBucket')
        form = {'file': ('f.txt', b'of a form', 'text/plain')}
        answer = self.call('POST', '/object/upload/sign/mine/form.txt', token=alice).json()
        got = requests.put(self.base + answer['url'], files=form, data={'cacheControl': '60'}, timeout=30)
        self.check('signed PUT of a form', got.status_code, 200)
        got = self.call('GET', '/object/mine/form.txt', token=alice)
        self.check('what the form brought', (got.content, got.headers.get('cache-control'), got.headers.get('content-type')), (b'of a form', 'max-age=60', 'text/plain'))

    # ------------------------------------------------------------ lists
    def lists(self):
        names = ['report', 'report-1.pdf', 'report.txt', 'report/q1', 'report/q2', 'report0', 'a/b/c', 'a!', 'Z']
        for name in names:
            self.put('lists', name)
        for order in ('asc', 'desc'):
            for column in ('name', 'created_at', 'updated_at'):
                for folded in (False, True):
                    found, body = [], {'limit': 1, 'with_delimiter': folded, 'sortBy': {'column': column, 'order': order}}
                    for _ in range(30):
                        page = self.call('POST', '/object/list-v2/lists', body).json()
                        found += [entry['name'] for entry in page['folders'] + page['objects']]
                        if not page['hasNext']:
                            break
                        body['cursor'] = page['nextCursor']
                    wanted = ['a/', 'report/'] + [n for n in names if '/' not in n] if folded else names
                    self.check(f'pages of one by {column} {order} {folded}', sorted(found), sorted(wanted))
                    if column == 'name':
                        self.check(f'pages in order {order} {folded}', found, sorted(wanted, reverse=order == 'desc'))
        page = self.call('POST', '/object/list/lists', {'prefix': '', 'limit': 3, 'offset': 2, 'search': 'REP'}).json()
        self.check('list v1', [(e['name'], e['id'] is None) for e in page], [('report.txt', False), ('report', True), ('report0', False)])

    # ------------------------------------------------------------ copies, moves, S3
    def across(self):
        s3 = s3lib.client(self.server)
        metadata = base64.b64encode(b'{"n": 1, "colour": "red"}').decode()
        self.put('b', 'from/one.txt', 'bytes', x_metadata=metadata, cache_control='max-age=9')
        copied = self.call('POST', '/object/copy', {'bucketId': 'b', 'sourceKey': 'from/one.txt', 'destinationKey': 'copied.txt'}).json()
        self.check('a copy', (copied['Key'], copied['user_metadata']), ('b/copied.txt', {'n': 1, 'colour': 'red'}))
        moved = self.call('POST', '/object/move', {'bucketId': 'b', 'sourceKey': 'copied.txt', 'destinationBucket': 'lists', 'destinationKey': 'moved.txt'})
        self.check('a move', self.code(moved), 200)
        head = s3.head_object(Bucket='lists', Key='moved.txt')
        self.check('S3 sees what was moved', (head['ContentLength'], head['ContentType'], head['CacheControl'], head['Metadata']['colour']), (5, 'text/plain', 'max-age=9', 'red'))
        self.check('and its bytes', s3.get_object(Bucket='lists', Key='moved.txt')['Body'].read(), b'bytes')
        # On a connection of its own: after an empty body botocore waits for the end of the connection.
        s3lib.client(self.server).put_object(Bucket='b', Key='s3/folder/', Body=b'')
        page = self.call('POST', '/object/list/b', {'prefix': 's3'}).json()
        self.check('a folder made by S3', [(e['name'], e['id']) for e in page], [('folder', None)])
        s3.put_object(Bucket='b', Key='s3/x.txt', Body=b'of s3', ContentType='text/x', Metadata={'m': '1'})
        gone = self.call('DELETE', '/object/b', {'prefixes': ['s3/x.txt', 'nope', 's3/folder/.emptyFolderPlaceholder']}).json()
        self.check('delete many', [(row['name'], row['user_metadata']) for row in gone], [('s3/x.txt', {'m': '1'}), ('s3/folder/.emptyFolderPlaceholder', {})])
        self.check('S3 sees that it is gone', s3.list_objects_v2(Bucket='b', Prefix='s3/')['KeyCount'], 0)
        alice, bob = self.server.token(ALICE), self.server.token(BOB)
        self.call('POST', '/object/mine/mine.txt', raw=b'x', token=alice)
        asked = {'bucketId': 'mine', 'sourceKey': 'mine.txt', 'destinationKey': 'moved.txt'}
        self.check("another's object can't be moved", self.code(self.call('POST', '/object/move', asked, token=bob)), 'NoSuchKey')
        self.check('one of one\'s own can', self.code(self.call('POST', '/object/move', asked, token=alice)), 200)
        self.check('out of what policies allow it can\'t', self.code(self.call('POST', '/object/move', {**asked, 'sourceKey': 'moved.txt', 'destinationBucket': 'b'}, token=alice)), 'AccessDenied')
        for path in ('/cdn/b/x', '/cdn/b', '/cdn'):
            self.check(f'DELETE {path}', self.code(self.call('DELETE', path)), 'MissingParameter')
        self.check('DELETE /cdn as a user', self.call('DELETE', '/cdn/b/x', token=alice).status_code, 403)

    # ------------------------------------------------------------ what is not there
    def absent(self):
        """Vector and analytics buckets: where they are off, the reference knows no such routes, whoever asks."""
        for method, path in (('POST', '/vector/ListVectorBuckets'), ('POST', '/vector/CreateIndex'), ('GET', '/iceberg/bucket'), ('POST', '/iceberg/bucket'),
                             ('GET', '/iceberg/v1/config'), ('DELETE', '/iceberg/v1/p/namespaces/n?x=1')):
            for token in ('service', None):
                answer = self.call(method, path, {} if method == 'POST' else None, token=token)
                wanted = {'message': f'Route {method}:{path} not found', 'error': 'Not Found', 'statusCode': 404}
                self.check(f'{method} {path}', (answer.status_code, answer.json()), (404, wanted))

    def play(self):
        for bucket in ('b', 'mine', 'lists'):
            self.check(f'bucket {bucket}', self.code(self.call('POST', '/bucket', {'name': bucket})), 200)
        self.server.sql(POLICIES)
        for part in (self.signed_downloads, self.signed_uploads, self.lists, self.across, self.absent):
            part()


if __name__ == '__main__':
    passed = failed = 0
    try:
        with Server() as server:
            play = Play(server)
            try:
                play.play()
            finally:
                passed, failed = play.passed, play.failed
                if failed:
                    server.show_log()
    except Failure as failure:
        print(f'FAILED rest_objects: {failure}')
        failed += 1
    finish(passed, failed)
