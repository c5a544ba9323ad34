"""Every operation of resumable uploads, as a request and as SQL. The upload that others go on with is the service role's."""
import base64
import itertools

import requests

from rls.operations import Operation, operation
from rls.world import NEW, mint

VERSION = {'tus-resumable': '1.0.0'}
PATCH = {**VERSION, 'upload-offset': '0', 'content-type': 'application/offset+octet-stream'}
UPSERT = {'x-upsert': 'true'}


class Tus(Operation):
    protocol = 'TUS'
    errors = {'AccessDenied': 403, 'NoSuchBucket': 404, 'KeyAlreadyExists': 409}

    @classmethod
    def refusal(cls, code):
        return cls.errors.get(code), None


def answered(answer):
    return answer.status_code, None, None


def described(t, key):
    pairs = dict(bucketName=t.bucket, objectName=key, contentType=t.kind)
    return {**VERSION, 'upload-length': str(len(NEW)), 'upload-metadata': ','.join(f'{n} {base64.b64encode(v.encode()).decode()}' for n, v in pairs.items())}


def begun(c, t, key):
    """The path of an upload that the service role has begun."""
    token = mint(c.secret, role='service_role', exp=c.claims['exp'])
    answer = requests.post(c.base + '/upload/resumable', headers={**described(t, key), **UPSERT, 'authorization': f'Bearer {token}'}, timeout=60)
    return '/upload' + answer.headers['location'].split('/upload', 1)[1]


def announced(t):
    return {'mimetype': t.kind, 'contentLength': len(NEW), 'size': len(NEW)}


def create(place, upsert):
    class Create(Tus):
        status = 201

        def ask(c, t):
            return answered(c.rest('POST', '/upload/resumable', headers={**described(t, getattr(t, place)), **(UPSERT if upsert else {})}))

        def sql(q, t):
            q.may_write(t.bucket, getattr(t, place), announced(t), upsert)
    Create.__name__ = f'Create {place} {"upsert" if upsert else ""}'
    operation('storage.tus.upload.create')(Create)


def patch(place, upsert):
    class Patch(Tus):
        status = 204

        def ask(c, t):
            path = begun(c, t, getattr(t, place))
            return answered(c.rest('PATCH', path, data=NEW, headers={**PATCH, **(UPSERT if upsert else {})}))

        def sql(q, t):
            q.upload(t.bucket, getattr(t, place), t.kind, NEW, upsert)
    Patch.__name__ = f'Patch {place} {"upsert" if upsert else ""}'
    operation('storage.tus.upload.part')(Patch)


for make, (place, upsert) in itertools.product((create, patch), (('new', False), ('elsewhere', False), ('key', False), ('key', True), ('other', True), ('new', True))):
    make(place, upsert)


@operation('storage.tus.upload.part')
class Head(Tus):
    def ask(c, t):
        return answered(c.rest('HEAD', begun(c, t, t.new), headers=VERSION))

    def sql(q, t):
        # Who may go on with it. What is there by now says nothing of that.
        q.may_write(t.bucket, t.new, announced(t), upsert=False)


@operation('storage.tus.upload.delete')
class Terminate(Tus):
    status = 204

    def ask(c, t):
        return answered(c.rest('DELETE', begun(c, t, t.new), headers=VERSION))

    def sql(q, t):
        q.may_write(t.bucket, t.new, announced(t), upsert=False)
