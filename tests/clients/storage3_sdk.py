"""supabase-py's storage, which is storage3: each method and option, with both kinds of keys; and an old version that crashes on `type`."""
import asyncio
import base64
import io
import struct
import subprocess
import sys

import requests
import supabase
from storage3.exceptions import StorageApiError
from supabase.lib.client_options import SyncClientOptions

from harness import CACHE, ROOT, Failure, Server, case, contains, finish, run_cases, same, true
from session_token import ALICE, BOB
from supabase_js import OPAQUE, key_pairs, prepare

OLD = '0.11.3'
# 16 × 8.
PICTURE = base64.b64decode('iVBORw0KGgoAAAANSUhEUgAAABAAAAAICAIAAAB/FOjAAAAAHElEQVR42mM8ISfHgA34MOzDKs7EQCIY1UAMAAAWkQIen4LNsAAAAABJRU5ErkJggg==')


class Play:
    """The clients of one kind of keys."""

    def __init__(self, server, label, publishable, secret):
        self.server, self.label, self.publishable, self.secret = server, label, publishable, secret
        self.log_path = server.log_path
        self.show_log = server.show_log
        self.service, self.anon = self.client(secret), self.client(publishable)
        self.alice, self.bob = (self.client(publishable, server.token(who)) for who in (ALICE, BOB))
        self.files = self.service.from_(self.name('closed'))

    def client(self, key, token=None):
        options = SyncClientOptions(headers={'Authorization': f'Bearer {token}'} if token else {}, persist_session=False, auto_refresh_token=False)
        return supabase.create_client(self.server.url, key, options).storage

    def name(self, kind):
        return f'py-{kind}-{self.label}'


def refused(call, status=None, part=''):
    """Runs call(); it must end in an error of the API, whose status and words may be named."""
    try:
        answer = call()
    except StorageApiError as error:
        if status:
            same(str(error.status), str(status), f'status ({error.message})')
        contains(error.message, part, 'message')
        return
    raise Failure(f'succeeded where {status} was due: {answer!r:.300}')


def names(entries):
    return [entry['name'] for entry in entries]


@case
def buckets(play):
    closed, public = play.name('closed'), play.name('open')
    same(play.service.create_bucket(closed), {'name': closed}, 'made')
    play.service.create_bucket(public, options={'public': True, 'file_size_limit': 1000, 'allowed_mime_types': ['text/plain']})
    bucket = play.service.get_bucket(public)
    same((bucket.id, bucket.public, bucket.file_size_limit, bucket.allowed_mime_types), (public, True, 1000, ['text/plain']), 'bucket')
    true({closed, public, 'mine'} <= {bucket.id for bucket in play.service.list_buckets()}, 'a bucket is missing')
    play.service.update_bucket(public, {'public': True, 'file_size_limit': 2000})
    same(play.service.get_bucket(public).file_size_limit, 2000, 'limit')
    refused(lambda: play.service.create_bucket(public), 409, 'already exists')
    refused(lambda: play.service.get_bucket('none'), 404)
    refused(lambda: play.anon.create_bucket('evil'), 403, 'row-level security')


@case
def uploads(play):
    path = play.server.folder / 'some file.bin'
    path.write_bytes(b'of a path' * 50_000)
    for key, body, wanted in (('bytes', b'\x00\xff', b'\x00\xff'), ('reader', io.BufferedReader(io.BytesIO(b'reader')), b'reader'),
                              ('path', path, path.read_bytes()), ('text path', str(path), path.read_bytes()), ('ünï/日本.txt', b'', b'')):
        answer = play.files.upload(key, body, {'content-type': 'application/x-test', 'cache-control': '77', 'metadata': {'of': key}})
        same((answer.path, answer.full_path), (key, f'{play.name("closed")}/{key}'), 'answer')
        same(play.files.download(key), wanted, key)
        info = play.files.info(key)
        same([info[k] for k in ('name', 'size', 'content_type', 'cache_control', 'metadata')], [key, len(wanted), 'application/x-test', 'max-age=77', {'of': key}], 'info')
    refused(lambda: play.files.upload('bytes', b'again'), 409, 'already exists')
    play.files.upload('bytes', b'again', {'upsert': 'true'})
    same(play.files.download('bytes'), b'again', 'upsert')
    play.files.update('bytes', b'updated', {'content-type': 'text/plain'})
    same(play.files.download('bytes'), b'updated', 'update')
    same((play.files.exists('bytes'), play.files.exists('none')), (True, False), 'exists')
    refused(lambda: play.files.download('none'), 404)
    shared = play.service.from_(play.name('open'))
    refused(lambda: shared.upload('x', b'x' * 2001, {'content-type': 'text/plain'}), 413)
    refused(lambda: shared.upload('x', b'x', {'content-type': 'image/png'}), 415)


@case
def lists(play):
    for key in ('l/b', 'l/a', 'l/c', 'l/sub/x'):
        play.files.upload(key, key.encode())
    same(names(play.files.list('l')), ['a', 'b', 'c', 'sub'], 'list')
    same(names(play.files.list('l', {'limit': 2, 'offset': 1, 'sortBy': {'column': 'name', 'order': 'desc'}})), ['c', 'b'], 'paged')
    same(names(play.files.list('l', {'search': 'b'})), ['b'], 'search')
    page = play.files.list_v2({'prefix': 'l/', 'with_delimiter': True})
    same(([f.name for f in page.folders], [o.name for o in page.objects], page.hasNext), (['l/sub/'], ['l/a', 'l/b', 'l/c'], False), 'v2')
    found, options = [], {'prefix': 'l/', 'limit': 1}
    for _ in range(9):
        page = play.files.list_v2(options)
        found += [o.name for o in page.objects]
        if not page.hasNext:
            break
        options['cursor'] = page.nextCursor
    same(found, ['l/a', 'l/b', 'l/c', 'l/sub/x'], 'pages')


@case
def copies_moves_and_removal(play):
    play.files.copy('l/a', 'l/copy')
    play.files.move('l/copy', 'l/moved')
    same((play.files.exists('l/copy'), play.files.download('l/moved')), (False, b'l/a'), 'moved')
    refused(lambda: play.files.copy('none', 'x'), 404)
    refused(lambda: play.files.move('l/a', 'l/b'), 409)
    same(sorted(names(play.files.remove(['l/moved', 'l/none', 'l/c']))), ['l/c', 'l/moved'], 'removed')


@case
def urls(play):
    shared = play.service.from_(play.name('open'))
    shared.upload('a b.txt', b'public', {'content-type': 'text/plain'})
    answer = requests.get(shared.get_public_url('a b.txt', {'download': 'n.txt'}), timeout=30)
    same((answer.content, answer.headers['content-disposition'][:10]), (b'public', 'attachment'), 'public')
    same(play.anon.from_(play.name('open')).download('a b.txt'), b'public', 'anonymous download')
    for key in ('bytes', 'ünï/日本.txt', 'text path'):
        signed = play.files.create_signed_url(key, 60, {'download': True})['signedURL']
        answer = requests.get(signed, timeout=30)
        same((answer.status_code, answer.content), (200, play.files.download(key)), f'signed {key}')
        contains(answer.headers['content-disposition'], 'attachment', 'disposition')
    many = play.files.create_signed_urls(['bytes', 'none'], 60)
    same([(one['path'], one['signedURL'] is None, one['error'] is None) for one in many], [('bytes', False, True), ('none', True, False)], 'many')
    same(requests.get(many[0]['signedURL'], timeout=30).content, b'updated', 'one of many')
    refused(lambda: play.files.create_signed_url('none', 60), 404)


@case
def signed_uploads(play):
    up = play.files.create_signed_upload_url('signed/up.txt')
    play.anon.from_(play.name('closed')).upload_to_signed_url(up['path'], up['token'], b'by signature', {'content-type': 'text/plain', 'cache-control': '9', 'metadata': {'k': 'v'}})
    info = play.files.info('signed/up.txt')
    same((info['content_type'], info['cache_control'], info['metadata'], play.files.download('signed/up.txt')), ('text/plain', 'max-age=9', {'k': 'v'}, b'by signature'), 'uploaded')
    refused(lambda: play.files.upload_to_signed_url(up['path'], up['token'], b'again'), 409)
    refused(lambda: play.files.upload_to_signed_url('other', up['token'], b'x'))


def size(png):
    """Width and height of a PNG."""
    same(png[1:4], b'PNG', 'kind')
    return struct.unpack('>II', png[16:24])


@case
def rendered_images(play):
    play.files.upload('picture.png', PICTURE, {'content-type': 'image/png', 'upsert': 'true'})
    same(size(play.files.download('picture.png', {'transform': {'width': 4, 'height': 4, 'resize': 'contain', 'format': 'origin'}})), (4, 2), 'downloaded')
    refused(lambda: play.files.download('bytes', {'transform': {'width': 10, 'height': 10}}), part='not an image')
    refused(lambda: play.anon.from_(play.name('closed')).download('picture.png', {'transform': {'width': 4}}), 404)
    signed = play.files.create_signed_url('picture.png', 60, {'transform': {'width': 4}})['signedURL']
    contains(signed, '/render/image/sign/', 'signed URL')
    for url in (signed, signed + '&width=16&resize=fill&height=16'):
        same(size(requests.get(url, timeout=30).content), (4, 2), 'by a signed URL')
    same(requests.get(signed.replace('picture', 'other'), timeout=30).status_code, 400, "another's signed URL")
    key = f'{play.name("picture")}.png'
    mine = {who: client.from_('mine') for who, client in (('alice', play.alice), ('bob', play.bob))}
    mine['alice'].upload(key, PICTURE, {'content-type': 'image/png', 'upsert': 'true'})
    same(size(mine['alice'].download(key, {'transform': {'width': 4}})), (4, 2), 'own')
    refused(lambda: mine['bob'].download(key, {'transform': {'width': 4}}), 404)
    same(requests.get(mine['alice'].get_public_url(key, {'transform': {'width': 4}}), timeout=30).status_code, 400, 'a private image on the public route')
    mine['alice'].remove([key])


@case
def policies(play):
    mine = {who: client.from_('mine') for who, client in (('alice', play.alice), ('bob', play.bob), ('anon', play.anon))}
    key = f'{play.name("alice")}.txt'
    mine['alice'].upload(key, b'of alice', {'upsert': 'true'})
    same(mine['alice'].download(key), b'of alice', 'own')
    same(names(mine['bob'].list('', {'search': key})), [], "another's list")
    for call in (lambda: mine['bob'].download(key), lambda: mine['bob'].move(key, 'stolen'), lambda: mine['bob'].copy(key, 'stolen'), lambda: mine['bob'].create_signed_url(key, 60)):
        refused(call, 404)
    refused(lambda: mine['bob'].upload(key, b'evil', {'upsert': 'true'}), 403)
    refused(lambda: mine['anon'].upload('anon.txt', b'x'), 403)
    same(mine['bob'].remove([key]), [], "another's removal")
    same(names(mine['alice'].remove([key])), [key], 'own removal')


@case
def the_asynchronous_client(play):
    async def session():
        client = await supabase.create_async_client(play.server.url, play.secret)
        files = client.storage.from_(play.name('closed'))
        await asyncio.gather(*(files.upload(f'async/{i}', str(i).encode()) for i in range(20)))
        got = await asyncio.gather(*(files.download(f'async/{i}') for i in range(20)))
        same(got, [str(i).encode() for i in range(20)], 'downloads')
        same(len(await files.list('async')), 20, 'listed')
    asyncio.run(session())


@case
def buckets_end(play):
    refused(lambda: play.service.delete_bucket(play.name('closed')), 409, 'not empty')
    for kind in ('closed', 'open'):
        play.service.empty_bucket(play.name(kind))
        same(play.service.from_(play.name(kind)).list(''), [], 'emptied')
        play.service.delete_bucket(play.name(kind))
    refused(lambda: play.service.get_bucket(play.name('open')), 404)


def old_version(server):
    """A version whose bucket takes no `type`: it reads every answer, made by whichever client."""
    python = CACHE / f'venv-storage3-{OLD}/bin/python'
    if not python.exists():
        subprocess.run([sys.executable, '-m', 'venv', python.parents[1]], check=True)
    subprocess.run([python, '-m', 'pip', 'install', '-q', '--disable-pip-version-check', '-r', ROOT / 'tests/clients/requirements-storage3-old.txt'], check=True)
    secret = server.keys.get('SERVICE_ROLE_KEY') or server.keys['SERVICE_KEY']
    done = subprocess.run([python, ROOT / 'tests/clients/storage3_calls.py', f'{server.url}/storage/v1', secret, OLD], capture_output=True, text=True, timeout=120)
    same((done.returncode, done.stdout.strip()), (0, 'calls ok'), f'storage3 {OLD}: {done.stderr[-600:]}')
    headers = {'authorization': f'Bearer {secret}'}
    listed = requests.get(f'{server.url}/storage/v1/bucket', headers=headers, timeout=30).json()
    true(listed and all(bucket['type'] == 'STANDARD' for bucket in listed), 'the others are not told the type')


if __name__ == '__main__':
    passed = failed = 0
    try:
        with Server(env=OPAQUE) as server:
            prepare(server)
            runs = [(Play(server, *pair), None, f'{pair[0]}: ') for pair in key_pairs(server)] + [(server, [old_version], '')]
            for subject, cases, label in runs:
                counts = run_cases(subject, cases, label)
                passed, failed = passed + counts[0], failed + counts[1]
    except Failure as failure:
        print(f'FAILED storage3_sdk: {failure}')
        failed += 1
    finish(passed, failed)
