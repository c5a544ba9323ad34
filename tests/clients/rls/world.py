"""The world of the matrix of row-level security: who asks, of what, under which policies; and how it is put back after each change."""
import base64
import hashlib
import hmac
import json
import time

import psycopg2
import requests

import s3 as s3lib
from harness import Failure

ALICE = '317eadce-631a-4429-a0bb-f19a7a517b4a'
BOB = 'd8c7bce9-cfeb-497b-bd61-e66ce2cbdaa2'


def mint(secret, **claims):
    """A token signed with HS256, as Supabase's auth server makes them."""
    encode = lambda value: base64.urlsafe_b64encode(value).rstrip(b'=')   # noqa: E731
    text = encode(b'{"alg":"HS256","typ":"JWT"}') + b'.' + encode(json.dumps(claims).encode())
    return (text + b'.' + encode(hmac.new(secret.encode(), text, hashlib.sha256).digest())).decode()


class Caller:
    """Someone who asks, over REST and over S3."""

    def __init__(self, name, server, role, sub=None):
        self.name, self.role, self.sub = name, role, sub
        self.secret = server.keys['PGRST_JWT_SECRET']
        self.claims = {'role': role, 'exp': int(time.time()) + 36000, **({'sub': sub} if sub else {})}
        self.token = mint(self.secret, **self.claims)
        self.base, self.session = server.url + '/storage/v1', requests.Session()
        self.session.headers['authorization'] = f'Bearer {self.token}'
        # The service role's S3 keys are the server's own; all others come with a session token.
        self.s3 = s3lib.client(server, token=None if role == 'service_role' else self.token)

    @property
    def is_service(self):
        return self.role == 'service_role'

    def rest(self, method, path, **more):
        return self.session.request(method, self.base + path, timeout=60, **more)


class Target:
    """A bucket and the keys in it that the operations speak of: one of a text that is Alice's, one of an image that is Bob's."""

    def __init__(self, nick, owner, other, team, other_team, kind, suffix):
        self.nick, self.owner, self.kind = nick, owner, kind
        self.bucket, self.public, self.hollow, self.made = f'{nick}-box', f'{nick}-public', f'{nick}-hollow', f'{nick}-made'
        self.folder, self.key, self.new = f'{owner}/{team}', f'{owner}/{team}/here{suffix}', f'{owner}/{team}/new{suffix}'
        self.other, self.elsewhere = f'{other}/{other_team}/there{suffix}', f'{other}/{other_team}/new{suffix}'
        self.other_owner = other
        self.content, self.other_content = f'content of {self.key}'.encode(), f'content of {self.other}'.encode()


TEXT = Target('alice', ALICE, BOB, 'red', 'blue', 'text/plain', '.txt')
IMAGE = Target('bob', BOB, ALICE, 'blue', 'red', 'image/png', '.png')
TARGETS = (TEXT, IMAGE)
NEW = b'what an upload brings'

OBJECT = 'id, bucket_id, name, owner, owner_id, version, metadata, user_metadata, created_at, updated_at, last_accessed_at'
# What policies join. A user sees its own memberships only.
TABLES = """
create schema matrix;
create table matrix.buckets as select * from storage.buckets; create table matrix.objects as select {columns} from storage.objects;
create table matrix.uploads as select * from storage.s3_multipart_uploads; create table matrix.parts as select * from storage.s3_multipart_uploads_parts;
create table public.people (id text primary key, nick text not null);
create table public.members (person text not null, team text not null, editor boolean not null);
create table public.granted (person text not null, operation text not null);
alter table public.members enable row level security;
create policy own on public.members for select to anon, authenticated using (person = (select auth.uid()::text));
grant select on public.people, public.members, public.granted to anon, authenticated, service_role;
insert into public.people values ('{alice}', 'alice'), ('{bob}', 'bob');
insert into public.members values ('{alice}', 'red', true), ('{bob}', 'red', false), ('{bob}', 'blue', true), ('{alice}', 'alice', true), ('{bob}', 'alice', false), ('{bob}', 'bob', true);
""".format(alice=ALICE, bob=BOB, columns=OBJECT)

MAY = "exists (select from public.granted g where g.person = coalesce((select auth.uid()::text), 'anon') and g.operation = storage.operation())"
MEMBER = 'exists (select from public.members m where m.person = (select auth.uid()::text) and m.team = {team}{editor})'
NICK = '(select p.nick from public.people p where p.id = (select auth.uid()::text))'


def team(place, name, editor):
    condition = MEMBER.format(team=name, editor=' and m.editor' if editor else '')
    return f'create policy {"edit" if editor else "see"}_{place} on storage.{place} for {"all" if editor else "select"} to anon, authenticated using ({condition});'


# Each on objects and on buckets. Of an operation's name, Alice and the anonymous may do exactly what it says, Bob all but that.
POLICIES = {
    'none': '',
    'own folder': f"""
        create policy o on storage.objects for all to authenticated using ((storage.foldername(name))[1] = (select auth.uid()::text));
        create policy b on storage.buckets for all to authenticated using (split_part(id, '-', 1) = {NICK});""",
    'owner': """
        create policy os on storage.objects for select to anon, authenticated using (true);
        create policy oi on storage.objects for insert to anon, authenticated with check (owner_id = (select auth.uid()::text));
        create policy ou on storage.objects for update to authenticated using (owner_id = (select auth.uid()::text));
        create policy od on storage.objects for delete to authenticated using (owner_id = (select auth.uid()::text));
        create policy bs on storage.buckets for select to anon, authenticated using (true);
        create policy bi on storage.buckets for insert to anon, authenticated with check (owner_id = (select auth.uid()::text));
        create policy bu on storage.buckets for update to authenticated using (owner_id = (select auth.uid()::text));
        create policy bd on storage.buckets for delete to authenticated using (owner_id = (select auth.uid()::text));""",
    'mime type': """
        create policy o on storage.objects for all to anon, authenticated using (metadata->>'mimetype' = 'text/plain');
        create policy b on storage.buckets for all to anon, authenticated using ('text/plain' = any(allowed_mime_types));""",
    'operation': f"""
        create policy o on storage.objects for all to anon, authenticated using ({MAY});
        create policy b on storage.buckets for all to anon, authenticated using ({MAY});""",
    'team': '\n'.join(team(place, name, editor) for editor in (False, True) for place, name in (
        ('objects', '(storage.foldername(name))[2]'), ('buckets', "split_part(id, '-', 1)"))),
}

# Everything that an operation could change, without what is new each time; of versions and ids, whether they are those that were there at first.
STATE = """
select 'object', bucket_id, name, concat_ws(' ', coalesce(owner_id, '-'), metadata->>'eTag', metadata->>'size', metadata->>'mimetype', user_metadata, metadata->'rowlock'->>'tags',
    exists (select from matrix.objects m where m.id = o.id), exists (select from matrix.objects m where m.version = o.version)) from storage.objects o
union all select 'bucket', b.id, b.name, concat_ws(' ', coalesce(b.owner_id, '-'), b.public, b.file_size_limit, b.allowed_mime_types, t.tags) from storage.buckets b left join {own}bucket_tags t on t.bucket_id = b.id
union all select 'upload', u.bucket_id, u.key, concat_ws(' ', coalesce(u.owner_id, '-'), u.metadata->>'mimetype', (select string_agg(concat_ws(' ', p.part_number, p.etag, p.size), ', ' order by p.part_number) from storage.s3_multipart_uploads_parts p where p.upload_id = u.id))
    from storage.s3_multipart_uploads u
order by 1, 2, 3, 4"""


class World:
    """A running server, the superuser's connection to its database, and the four who ask."""

    def __init__(self, server, db):
        self.server = server
        self.connection = psycopg2.connect(db.url())
        self.connection.autocommit = True
        self.cursor = self.connection.cursor()
        self.callers = [Caller('anon', server, 'anon'), Caller('alice', server, 'authenticated', ALICE), Caller('bob', server, 'authenticated', BOB), Caller('service', server, 'service_role')]
        self.service = self.callers[-1]
        self.own = self.rows("select schemaname || '.rowlock_' from pg_tables where tablename = 'rowlock_outbox'")[0][0]
        self.run(TABLES)
        self.run('prepare state as ' + STATE.format(own=self.own))
        self.furnish()
        self.before = self.state()

    def run(self, sql, *values):
        self.cursor.execute(sql, values or None)

    def rows(self, sql, *values):
        self.run(sql, *values)
        return self.cursor.fetchall()

    def state(self):
        return self.rows('execute state')

    def furnish(self):
        """Buckets and objects, written by the service role and then given to their owners."""
        for t in TARGETS:
            for bucket in (t.bucket, t.public, t.hollow):
                self.good(self.service.rest('POST', '/bucket', json={'name': bucket, 'public': bucket == t.public, 'allowed_mime_types': [t.kind]}))
                for key, content in ((t.key, t.content), (t.other, t.other_content)) if bucket != t.hollow else ():
                    self.good(self.service.rest('POST', f'/object/{bucket}/{key}', data=content, headers={'content-type': t.kind}))
            self.run('update storage.buckets set owner_id = %s, owner = %s where id like %s', t.owner, t.owner, f'{t.nick}-%')
            for key, owner in ((t.key, t.owner), (t.other, t.other_owner)):
                self.run('update storage.objects set owner_id = %s, owner = %s where name = %s', owner, owner, key)
        self.run(f'insert into matrix.objects select {OBJECT} from storage.objects; insert into matrix.buckets select * from storage.buckets')
        for t in TARGETS:
            self.pend(t)

    def restore(self, after):
        """Puts rows back. Blobs that were replaced or deleted are still there: their time has not come. Parts are not."""
        self.run(f"""begin; set local storage.allow_delete_query = 'true';
            delete from storage.s3_multipart_uploads; delete from storage.objects; delete from storage.buckets; delete from {self.own}bucket_tags;
            insert into storage.buckets select * from matrix.buckets;
            insert into storage.objects ({OBJECT}) select {OBJECT} from matrix.objects;
            insert into storage.s3_multipart_uploads select * from matrix.uploads; insert into storage.s3_multipart_uploads_parts select * from matrix.parts; commit""")
        for t in TARGETS:
            if not any(row[:3] == ('upload', t.bucket, t.new) for row in after):
                self.run('delete from storage.s3_multipart_uploads where bucket_id = %s', t.bucket)
                self.pend(t)

    def pend(self, t):
        """Begins an upload in the name of the target's owner, and stores a part of it."""
        upload = self.service.s3.create_multipart_upload(Bucket=t.bucket, Key=t.new, ContentType=t.kind)['UploadId']
        etag = self.service.s3.upload_part(Bucket=t.bucket, Key=t.new, UploadId=upload, PartNumber=1, Body=NEW)['ETag']
        self.run("""update storage.s3_multipart_uploads set owner_id = %s, metadata = metadata || '{"role": "authenticated"}' where id = %s""", t.owner, upload)
        for saved, table in (('uploads', 's3_multipart_uploads'), ('parts', 's3_multipart_uploads_parts')):
            self.run(f'truncate matrix.{saved}; insert into matrix.{saved} select * from storage.{table}')
        t.upload, t.etag = upload, etag

    def enact(self, policies):
        """Puts one set of policies in the place of those that are there."""
        for table, name in self.rows("select tablename, policyname from pg_policies where schemaname = 'storage'"):
            self.run(f'drop policy {name} on storage.{table}')
        if policies.strip():
            self.run(policies)

    def grant(self, operation, names):
        """Whom the policy on operations lets do what: Alice and the anonymous this one, Bob all others."""
        self.run('truncate public.granted; insert into public.granted select unnest(%s), %s; insert into public.granted select %s, unnest(%s)',
                 [ALICE, 'anon'], operation, BOB, [name for name in names if name != operation])

    @staticmethod
    def good(answer):
        if answer.status_code != 200:
            raise Failure(f'{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text:.300}')
        return answer
