"""What PostgreSQL says to an operation: the same steps as SQL, under the same roles and settings, in a transaction that is rolled back.

The settings are those that policies may read; the steps, and whose right each of them asks for, are those of the reference. Where this
server asks for less or tells less than the reference, the step says so.
"""
import hashlib
import json

import psycopg2

INSERT = 'insert into storage.objects as o (bucket_id, name, owner, owner_id, version, metadata, user_metadata) values (%s, %s, %s, %s, %s, %s, %s)'
UPSERT = INSERT + """ on conflict (name, bucket_id) do update set version = excluded.version, metadata = excluded.metadata, user_metadata = excluded.user_metadata,
    owner = coalesce(excluded.owner, o.owner), owner_id = coalesce(excluded.owner_id, o.owner_id) returning *"""
SCOPE = """select set_config('role', %s, true), set_config('request.jwt.claim.role', %s, true), set_config('request.jwt', %s, true),
    set_config('request.jwt.claim.sub', %s, true), set_config('request.jwt.claims', %s, true), set_config('request.headers', '{}', true),
    set_config('request.method', %s, true), set_config('request.path', %s, true), set_config('storage.operation', %s, true),
    set_config('storage.allow_delete_query', 'true', true), set_config('statement_timeout', '30000ms', true)"""
STATES = {'42501': 'AccessDenied', '23505': 'KeyAlreadyExists', '23503': 'InvalidRequest'}


class Refused(Exception):
    """The operation ends in this error code, and has changed nothing."""

    def __init__(self, code):
        super().__init__(code)
        self.code = code


def md5(content):
    return hashlib.md5(content).hexdigest()


class Question:
    """One operation of one caller, in the transaction that the cursor is in."""

    def __init__(self, world, caller, operation):
        self.world, self.cursor, self.caller, self.operation = world, world.cursor, caller, operation
        self.whose, self.wrote = None, False

    # ------------------------------------------------------------ under a scope
    def scope(self, caller, sub):
        if self.whose != (caller, sub):
            self.cursor.execute(SCOPE, (caller.role, caller.role, caller.token, sub, json.dumps(caller.claims), 'GET', '/', self.operation))
            self.whose = (caller, sub)

    def run(self, sql, values):
        try:
            self.cursor.execute(sql, values)
        except psycopg2.Error as error:
            raise Refused(STATES.get(error.pgcode, error.pgcode)) from None
        self.wrote |= not sql.lstrip().startswith('select')
        return self.cursor.fetchall() if self.cursor.description else []

    def user(self, sql, *values):
        """As the caller."""
        self.scope(self.caller, self.caller.sub or '')
        return self.run(sql, values)

    def service(self, sql, *values):
        """As the service role, with the service key's claims."""
        self.scope(self.world.service, '')
        return self.run(sql, values)

    def tested(self, sql, *values):
        """As the caller, and taken back."""
        self.scope(self.caller, self.caller.sub or '')
        self.cursor.execute('savepoint tested')
        rows = self.run(sql, values)
        self.cursor.execute('rollback to savepoint tested')
        return rows

    # ------------------------------------------------------------ steps that operations share
    def seen(self, bucket, key):
        """The object's row as the caller sees it."""
        rows = self.user('select name, metadata, user_metadata, owner_id from storage.objects where bucket_id = %s and name = %s', bucket, key)
        if not rows:
            raise Refused('NoSuchKey')
        return rows[0]

    def seen_or_public(self, bucket, key):
        """The object's row: of a public bucket whoever asks."""
        if self.service('select 1 from storage.buckets where id = %s and public', bucket):
            return self.service('select name, metadata, user_metadata, owner_id from storage.objects where bucket_id = %s and name = %s', bucket, key)[0]
        return self.seen(bucket, key)

    def bucket(self, bucket):
        """That the caller sees the bucket."""
        if not self.user('select 1 from storage.buckets where id = %s', bucket):
            raise Refused('NoSuchBucket')

    def values(self, bucket, key, version, metadata, user_metadata):
        return bucket, key, self.caller.sub, self.caller.sub, version, json.dumps(metadata), json.dumps(user_metadata)

    def may_write(self, bucket, key, metadata, upsert=True, user_metadata=None):
        """The test of a write."""
        self.tested(UPSERT if upsert else INSERT, *self.values(bucket, key, '1', metadata, user_metadata or {}))

    def written(self, bucket, key, kind, content, etag=None, user_metadata=None):
        """The write itself, as the service role."""
        metadata = {'eTag': etag or f'"{md5(content)}"', 'size': len(content), 'mimetype': kind}
        return self.service(UPSERT, *self.values(bucket, key, 'new', metadata, user_metadata or {}))

    def upload(self, bucket, key, kind, content, upsert=True):
        """Test and write."""
        announced = {'mimetype': kind, 'contentLength': len(content), 'size': len(content)}
        self.may_write(bucket, key, announced, upsert)
        self.written(bucket, key, kind, content)

    def copy(self, bucket, key, to, content, upsert=True):
        """A copy within a bucket: the source as the caller sees it, and the right to write its metadata to the target."""
        _, metadata, user_metadata, _ = self.seen(bucket, key)
        self.may_write(bucket, to, metadata, upsert, user_metadata)
        self.written(bucket, to, metadata['mimetype'], content, user_metadata=user_metadata)

    def move(self, bucket, key, to):
        """SELECT and UPDATE of the row, also as it will be."""
        if not self.tested('select id from storage.objects where bucket_id = %s and name = %s', bucket, key):
            raise Refused('NoSuchKey')
        change = "update storage.objects set name = %s, version = 'new', owner = coalesce(%s, owner), owner_id = coalesce(%s, owner_id) where bucket_id = %s and name = %s returning *"
        values = to, self.caller.sub, self.caller.sub, bucket, key
        if not self.tested(change, *values):
            raise Refused('AccessDenied')
        self.service(change, *values)

    def delete_one(self, bucket, key):
        """REST: what is there and may not be deleted is refused, seen or not."""
        if not self.service('select 1 from storage.objects where bucket_id = %s and name = %s for update', bucket, key):
            raise Refused('NoSuchKey')
        if not self.deleted(bucket, [key]):
            raise Refused('AccessDenied')

    def deleted(self, bucket, keys):
        return [row[0] for row in self.user('delete from storage.objects where bucket_id = %s and name = any(%s) returning name', bucket, list(keys))]

    def delete_s3(self, bucket, keys):
        """S3: the names that are refused. What the caller does not see is not there for it: the reference refuses that too, and so tells that it is there."""
        self.deleted(bucket, keys)
        return sorted(row[0] for row in self.user('select name from storage.objects where bucket_id = %s and name = any(%s)', bucket, list(keys)))

    def names(self, bucket):
        return [row[0] for row in self.user('select name from storage.objects where bucket_id = %s order by name collate "C"', bucket)]

    def folded(self, bucket):
        """Names of files and of folders, as a list with the delimiter `/` shows them."""
        rows = self.user("select key, id from storage.search_v2('', %s, 101, 1, '', 'asc', 'name', '')", bucket)
        return [key.rstrip('/') + ('/' if id is None else '') for key, id in rows]

    def own_upload(self, t):
        """That the pending upload is the caller's own: nobody else goes on with it, whatever the reference allows who knows its id."""
        rows = self.service('select owner_id from storage.s3_multipart_uploads where id = %s', t.upload)
        if not rows or not (self.caller.is_service or rows[0][0] == self.caller.sub):
            raise Refused('NoSuchUpload')

    def tags(self, bucket, tags):
        """A bucket's tags lie in a table that no role has a right on."""
        self.cursor.execute("select set_config('role', 'none', true)")
        self.whose = None
        self.run(f'insert into {self.world.own}bucket_tags (bucket_id, tags) values (%s, %s)', (bucket, json.dumps(tags)))
