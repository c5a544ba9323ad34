"""Every operation of the REST API, as a request and as SQL."""
import requests

from rls.operations import Headless, Rest, operation
from rls.oracle import Refused
from rls.world import NEW, TARGETS, mint


def answered(answer, tell=None):
    """Status, code and what `tell` reads from a good answer."""
    if answer.status_code >= 400:
        told = answer.json() if answer.content else None
        return answer.status_code, f'{told["statusCode"]} {told["code"]}' if told else None, None
    return answer.status_code, None, tell(answer) if tell else None


def content(answer):
    return answer.content


def kind(t, **more):
    return {'content-type': t.kind, **more}


UPSERT = {'x-upsert': 'true'}


@operation('storage.bucket.create')
class CreateBucket(Rest):
    def ask(c, t):
        return answered(c.rest('POST', '/bucket', json={'name': t.made, 'allowed_mime_types': [t.kind]}))

    def sql(q, t):
        q.user('insert into storage.buckets (id, name, owner, owner_id, public, allowed_mime_types) values (%s, %s, %s, %s, false, %s)', t.made, t.made, q.caller.sub, q.caller.sub, [t.kind])


@operation('storage.bucket.create')
class CreateBucketAgain(Rest):
    def ask(c, t):
        return answered(c.rest('POST', '/bucket', json={'name': t.hollow, 'allowed_mime_types': [t.kind]}))

    def sql(q, t):
        try:
            q.user('insert into storage.buckets (id, name, owner, owner_id, public, allowed_mime_types) values (%s, %s, %s, %s, false, %s)', t.hollow, t.hollow, q.caller.sub, q.caller.sub, [t.kind])
        except Refused as refused:
            raise Refused({'KeyAlreadyExists': 'BucketAlreadyExists'}.get(refused.code, refused.code)) from None


@operation('storage.bucket.list')
class ListBuckets(Rest):
    def ask(c, t):
        return answered(c.rest('GET', '/bucket'), lambda a: sorted(b['id'] for b in a.json()))

    def sql(q, t):
        return sorted(row[0] for row in q.user('select id from storage.buckets'))


@operation('storage.bucket.get')
class GetBucket(Rest):
    def ask(c, t):
        return answered(c.rest('GET', f'/bucket/{t.bucket}'), lambda a: a.json()['id'])

    def sql(q, t):
        q.bucket(t.bucket)
        return t.bucket


@operation('storage.bucket.update')
class UpdateBucket(Rest):
    def ask(c, t):
        return answered(c.rest('PUT', f'/bucket/{t.hollow}', json={'public': True, 'file_size_limit': 1000}))

    def sql(q, t):
        if not q.user('update storage.buckets set public = true, file_size_limit = 1000 where id = %s returning id', t.hollow):
            raise Refused('NoSuchBucket')


@operation('storage.bucket.empty')
class EmptyBucket(Rest):
    def ask(c, t):
        return answered(c.rest('POST', f'/bucket/{t.bucket}/empty'))

    def sql(q, t):
        q.bucket(t.bucket)
        # As the caller, not as the service role; and pending uploads of one's own end.
        q.user('delete from storage.objects where bucket_id = %s', t.bucket)
        q.service('delete from storage.s3_multipart_uploads where bucket_id = %s and (owner_id = %s or %s)', t.bucket, q.caller.sub, q.caller.is_service)


@operation('storage.bucket.delete')
class DeleteBucket(Rest):
    def ask(c, t):
        return answered(c.rest('DELETE', f'/bucket/{t.hollow}'))

    def sql(q, t):
        if not q.user('delete from storage.buckets where id = %s returning id', t.hollow):
            raise Refused('NoSuchBucket')


@operation('storage.bucket.delete')
class DeleteFullBucket(Rest):
    def ask(c, t):
        return answered(c.rest('DELETE', f'/bucket/{t.bucket}'))

    def sql(q, t):
        # That it is there, and holds something, is told only to those who see it.
        q.bucket(t.bucket)
        raise Refused('ResourceNotEmpty')


def upload(method, place, upsert, headers=UPSERT, exists=False):
    """An upload of one method to one of the target's keys."""
    class Upload(Rest):
        def ask(c, t):
            return answered(c.rest(method, f'/object/{t.bucket}/{getattr(t, place)}', data=NEW, headers=kind(t, **headers)))

        def sql(q, t):
            q.upload(t.bucket, getattr(t, place), t.kind, NEW, upsert)
    Upload.__name__ = f'Upload {method} {place} {"upsert" if upsert else ""}'
    return Upload


for method, place, upsert, headers in (
        ('POST', 'new', False, {}), ('POST', 'elsewhere', False, {}), ('POST', 'key', False, {}), ('POST', 'key', True, UPSERT), ('POST', 'other', True, UPSERT),
        ('POST', 'new', True, UPSERT), ('PUT', 'new', True, {}), ('PUT', 'key', True, {})):
    operation('storage.object.upload' if method == 'POST' else 'storage.object.upload_update')(upload(method, place, upsert, headers))


@operation('storage.object.upload')
class UploadForm(Rest):
    def ask(c, t):
        return answered(c.rest('POST', f'/object/{t.bucket}/{t.new}', files={'': ('name', NEW, t.kind)}))

    def sql(q, t):
        # How long the file of a form is, nobody knows before its end.
        q.may_write(t.bucket, t.new, {'mimetype': t.kind}, upsert=False)
        q.written(t.bucket, t.new, t.kind, NEW)


def read(name, label, path, bucket='bucket', key='key', told=True, sql=None):
    class Read(Rest):
        def ask(c, t):
            return answered(c.rest('GET', path.format(bucket=getattr(t, bucket), key=getattr(t, key))), content if told else lambda a: a.json()['name'])

        def what(q, t):
            q.seen_or_public(getattr(t, bucket), getattr(t, key))
            return (t.content if key == 'key' else t.other_content) if told else getattr(t, key)
    Read.sql = sql or Read.what
    Read.__name__ = label
    operation(name)(Read)


def not_public(q, t):
    raise Refused('NoSuchBucket')


read('storage.object.get_authenticated', 'Read', '/object/{bucket}/{key}')
read('storage.object.get_authenticated', "Read another's", '/object/{bucket}/{key}', key='other')
read('storage.object.get_authenticated', 'Read authenticated', '/object/authenticated/{bucket}/{key}')
read('storage.object.get_authenticated', 'Read from a public bucket', '/object/{bucket}/{key}', bucket='public')
read('storage.object.get_public', 'Read public', '/object/public/{bucket}/{key}', bucket='public')
read('storage.object.get_public', 'Read public from a private bucket', '/object/public/{bucket}/{key}', sql=not_public)
read('object.get_authenticated_info', 'Info', '/object/info/{bucket}/{key}', told=False)
read('object.get_authenticated_info', 'Info authenticated', '/object/info/authenticated/{bucket}/{key}', told=False)
read('object.get_authenticated_info', 'Info from a public bucket', '/object/info/{bucket}/{key}', bucket='public', told=False)
read('storage.object.info_public', 'Info public', '/object/info/public/{bucket}/{key}', bucket='public', told=False)
read('storage.object.info_public', 'Info public from a private bucket', '/object/info/public/{bucket}/{key}', sql=not_public)


@operation('object.head_authenticated_info')
class Head(Headless, Rest):
    def ask(c, t):
        return answered(c.rest('HEAD', f'/object/{t.bucket}/{t.key}'), lambda a: a.headers['content-length'])

    def sql(q, t):
        q.seen_or_public(t.bucket, t.key)
        return str(len(t.content))


@operation('storage.object.get_public', callers=('anon',))
class ReadWithoutToken(Rest):
    def ask(c, t):
        return answered(requests.get(f'{c.base}/object/{t.bucket}/{t.key}', timeout=60), content)

    sql = not_public


@operation('storage.object.sign')
class Sign(Rest):
    def ask(c, t):
        return answered(c.rest('POST', f'/object/sign/{t.bucket}/{t.key}', json={'expiresIn': 60}), lambda a: requests.get(c.base + a.json()['signedURL'], timeout=60).content)

    def sql(q, t):
        q.seen(t.bucket, t.key)
        return t.content


@operation('storage.object.sign_many')
class SignMany(Rest):
    def ask(c, t):
        return answered(c.rest('POST', f'/object/sign/{t.bucket}', json={'expiresIn': 60, 'paths': [t.key, t.other, t.new]}), lambda a: [e['path'] for e in a.json() if e['signedURL']])

    def sql(q, t):
        return [key for key in (t.key, t.other, t.new) if key in q.names(t.bucket)]


def sign_upload(place, upsert):
    class SignUpload(Rest):
        def ask(c, t):
            return answered(c.rest('POST', f'/object/upload/sign/{t.bucket}/{getattr(t, place)}', headers=UPSERT if upsert else {}), lambda a: bool(a.json()['token']))

        def sql(q, t):
            q.may_write(t.bucket, getattr(t, place), {}, upsert)
            return True
    SignUpload.__name__ = f'Sign an upload to {place} {"upsert" if upsert else ""}'
    operation('storage.object.sign_upload_url')(SignUpload)


for place, upsert in (('new', False), ('key', False), ('key', True), ('elsewhere', True)):
    sign_upload(place, upsert)


def by_signature(c, t, key, **claims):
    return mint(c.secret, url=f'{t.bucket}/{key}', exp=c.claims['exp'], **claims)


@operation('storage.object.get_signed')
class ReadSigned(Rest):
    def ask(c, t):
        token = by_signature(c, t, t.key, scope='download')
        return answered(requests.get(f'{c.base}/object/sign/{t.bucket}/{t.key}', params={'token': token}, timeout=60), content)

    def sql(q, t):
        # The token decides.
        q.service('select 1 from storage.objects where bucket_id = %s and name = %s', t.bucket, t.key)
        return t.content


def upload_signed(place, upsert):
    class UploadSigned(Rest):
        def ask(c, t):
            key = getattr(t, place)
            token = by_signature(c, t, key, scope='upload', upsert=upsert, **({'owner': c.sub} if c.sub else {}))
            return answered(requests.put(f'{c.base}/object/upload/sign/{t.bucket}/{key}', params={'token': token}, data=NEW, headers=kind(t), timeout=60))

        def sql(q, t):
            key = getattr(t, place)
            if not upsert and q.service('select 1 from storage.objects where bucket_id = %s and name = %s', t.bucket, key):
                raise Refused('KeyAlreadyExists')
            q.written(t.bucket, key, t.kind, NEW)
    UploadSigned.__name__ = f'Upload by signature to {place} {"upsert" if upsert else ""}'
    operation('storage.object.upload_signed')(UploadSigned)


for place, upsert in (('new', False), ('key', False), ('key', True)):
    upload_signed(place, upsert)


def listed(prefix):
    class List(Rest):
        def ask(c, t):
            return answered(c.rest('POST', f'/object/list/{t.bucket}', json={'prefix': prefix(t)}), lambda a: [(e['name'], e['id'] is None) for e in a.json()])

        def sql(q, t):
            text = prefix(t) and prefix(t) + '/'
            return [tuple(row) for row in q.user("select name, id is null from storage.search(%s, %s, 100, %s, 0, '', 'name', 'asc')", text, t.bucket, text.count('/') + 1)]
    List.__name__ = 'List a folder' if prefix(TARGETS[0]) else 'List'
    operation('storage.object.list')(List)


listed(lambda t: '')
listed(lambda t: t.folder)


@operation('storage.object.list_v2')
class ListV2(Rest):
    def ask(c, t):
        return answered(c.rest('POST', f'/object/list-v2/{t.bucket}', json={}), lambda a: [e['name'] for e in a.json()['objects']])

    def sql(q, t):
        return q.names(t.bucket)


@operation('storage.object.list_v2')
class ListV2Folded(Rest):
    def ask(c, t):
        return answered(c.rest('POST', f'/object/list-v2/{t.bucket}', json={'with_delimiter': True}), lambda a: [e['name'] for e in a.json()['folders'] + a.json()['objects']])

    def sql(q, t):
        return q.folded(t.bucket)


def copy(place, to, upsert):
    class Copy(Rest):
        def ask(c, t):
            asked = {'bucketId': t.bucket, 'sourceKey': getattr(t, place), 'destinationKey': getattr(t, to)}
            return answered(c.rest('POST', '/object/copy', json=asked, headers=UPSERT if upsert else {}), lambda a: a.json()['Key'])

        def sql(q, t):
            q.copy(t.bucket, getattr(t, place), getattr(t, to), t.content if place == 'key' else t.other_content, upsert)
            return f'{t.bucket}/{getattr(t, to)}'
    Copy.__name__ = f'Copy {place} to {to} {"upsert" if upsert else ""}'
    operation('storage.object.copy')(Copy)


for place, to, upsert in (('key', 'new', False), ('key', 'elsewhere', False), ('other', 'new', True), ('key', 'other', True), ('key', 'other', False)):
    copy(place, to, upsert)


def move(place, to):
    class Move(Rest):
        def ask(c, t):
            return answered(c.rest('POST', '/object/move', json={'bucketId': t.bucket, 'sourceKey': getattr(t, place), 'destinationKey': getattr(t, to)}))

        def sql(q, t):
            try:
                q.move(t.bucket, getattr(t, place), getattr(t, to))
            except Refused as refused:
                raise Refused({'KeyAlreadyExists': 'ResourceAlreadyExists'}.get(refused.code, refused.code)) from None
    Move.__name__ = f'Move {place} to {to}'
    operation('storage.object.move')(Move)


for place, to in (('key', 'new'), ('key', 'elsewhere'), ('other', 'new'), ('key', 'other')):
    move(place, to)


def delete(place):
    class Delete(Rest):
        def ask(c, t):
            return answered(c.rest('DELETE', f'/object/{t.bucket}/{getattr(t, place)}'))

        def sql(q, t):
            q.delete_one(t.bucket, getattr(t, place))
    Delete.__name__ = f'Delete {place}'
    operation('storage.object.delete')(Delete)


for place in ('key', 'other', 'new'):
    delete(place)


@operation('storage.object.delete_many')
class DeleteMany(Rest):
    def ask(c, t):
        return answered(c.rest('DELETE', f'/object/{t.bucket}', json={'prefixes': [t.key, t.other, t.new]}), lambda a: sorted(row['name'] for row in a.json()))

    def sql(q, t):
        return sorted(q.deleted(t.bucket, [t.key, t.other, t.new]))


def purge(name, path):
    class Purge(Rest):
        def ask(c, t):
            return answered(c.rest('DELETE', path.format(bucket=t.bucket, key=t.key)))

        def sql(q, t):
            # The service role's alone, and there is no CDN to speak to.
            raise Refused('MissingParameter' if q.caller.is_service else 'AccessDenied')

        @classmethod
        def refusal(cls, code):
            return 403 if code == 'AccessDenied' else 400, f'{cls.errors[code]} {code}'
    Purge.__name__ = f'Purge {path}'
    operation(name)(Purge)


for name, path in (('object', '/cdn/{bucket}/{key}'), ('bucket', '/cdn/{bucket}'), ('tenant', '/cdn')):
    purge(f'storage.cdn.purge_{name}_cache', path)


def render(name, label, ask, sql):
    class Render(Rest):
        def sql(q, t):
            # What may be read is found to be no image.
            sql(q, t)
            raise Refused('InvalidRequest')
    Render.ask = ask
    Render.__name__ = label
    operation(name)(Render)


def rendered(path, bucket='bucket', key='key'):
    return lambda c, t: answered(c.rest('GET', f'/render/image/{path}/{getattr(t, bucket)}/{getattr(t, key)}?width=10'))


def rendered_by_signature(c, t):
    token = by_signature(c, t, t.key, scope='download', transformations='width:10')
    return answered(requests.get(f'{c.base}/render/image/sign/{t.bucket}/{t.key}', params={'token': token}, timeout=60))


render('storage.render.image_authenticated', 'Render', rendered('authenticated'), lambda q, t: q.seen_or_public(t.bucket, t.key))
render('storage.render.image_authenticated', "Render another's", rendered('authenticated', key='other'), lambda q, t: q.seen_or_public(t.bucket, t.other))
render('storage.render.image_authenticated', 'Render from a public bucket', rendered('authenticated', bucket='public'), lambda q, t: q.seen_or_public(t.public, t.key))
render('storage.render.image_public', 'Render public', rendered('public', bucket='public'), lambda q, t: None)
render('storage.render.image_public', 'Render public from a private bucket', rendered('public'), not_public)
render('storage.render.image_sign', 'Render by signature', rendered_by_signature, lambda q, t: None)
