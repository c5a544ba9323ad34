"""What the suites of resumable uploads share: a client of TUS 1.0.0 that sends exactly what it is told."""
import base64
import http.client
import pathlib
import time
from urllib.parse import urlsplit

from harness import Failure, same, wait_for

OFFSET_TYPE = 'application/offset+octet-stream'


def service(server):
    return server.keys.get('SERVICE_ROLE_KEY') or server.keys['SERVICE_KEY']


def metadata(bucket, key, **more):
    """The header Upload-Metadata."""
    pairs = dict(bucketName=bucket, objectName=key, **more)
    return ','.join(f'{name} {base64.b64encode(value.encode()).decode()}' for name, value in pairs.items())


def all_read(connection):
    """Waits until the server has read what was sent on this connection, and had a moment to do something with it (queues: proc(5), /proc/net/tcp)."""
    ours, theirs = connection.getsockname()[1], connection.getpeername()[1]

    def read():
        left = {}
        for line in pathlib.Path('/proc/net/tcp').read_text().splitlines()[1:]:
            fields = line.split()
            left[tuple(int(address.split(':')[1], 16) for address in fields[1:3])] = [int(size, 16) for size in fields[4].split(':')]
        return left[ours, theirs][0] == 0 and left[theirs, ours][1] == 0
    wait_for('the server to read all that was sent', read)
    time.sleep(0.3)


class Answer:
    def __init__(self, response):
        self.status, self.body = response.status, response.read()
        self.headers = {name.lower(): value for name, value in response.getheaders()}

    @property
    def text(self):
        return self.body.decode()

    @property
    def offset(self):
        return int(self.headers['upload-offset'])

    @property
    def path(self):
        return urlsplit(self.headers['location']).path


class Tus:
    """One connection of one caller; `signature` in place of a token for what somebody signed."""

    def __init__(self, server, token=None, signature=None, prefix='/storage/v1', timeout=60):
        self.signature = signature
        self.base = f'{prefix}/upload/resumable' + ('/sign' if signature else '')
        self.head = {'tus-resumable': '1.0.0'}
        if signature:
            self.head['x-signature'] = signature
        else:
            self.head['authorization'] = 'Bearer ' + (token or service(server))
        self.connection = http.client.HTTPConnection('127.0.0.1', server.port, timeout=timeout)

    def ask(self, method, path, body=None, **headers):
        """`None` leaves a header out; underscores are hyphens."""
        told = {**self.head, **{name.replace('_', '-'): value for name, value in headers.items()}}
        told = {name: value for name, value in told.items() if value is not None}
        self.connection.request(method, path, body=body, headers=told)
        return Answer(self.connection.getresponse())

    def create(self, bucket, key, length=None, body=None, meta=None, **headers):
        if length is not None:
            headers['upload_length'] = str(length)
        if body is not None:
            headers['content_type'] = OFFSET_TYPE
        return self.ask('POST', self.base, body, upload_metadata=metadata(bucket, key, **(meta or {})), **headers)

    def begin(self, bucket, key, length=None, **more):
        """The path of a new upload."""
        answer = self.create(bucket, key, length, **more)
        if answer.status != 201:
            raise Failure(f'create {bucket}/{key}: {answer.status} {answer.text[:200]}')
        return answer.path

    def patch(self, path, offset, body=b'', **headers):
        return self.ask('PATCH', path, body, **{'upload_offset': str(offset), 'content_type': OFFSET_TYPE, **headers})

    def offset(self, path):
        answer = self.ask('HEAD', path)
        same(answer.status, 200, 'HEAD')
        return answer.offset

    def close(self):
        self.connection.close()
