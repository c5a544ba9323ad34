"""rclone crypt over the endpoint: what people encrypt their backups with. Names become long, of upper and lower case and many slashes; sizes are not those of the files."""
import hashlib
import os
import subprocess

import s3 as s3lib
from harness import Failure, case, contains, main, same, true

BUCKET = 'crypt-bucket'
REMOTE = 'secret:'


def setup(server):
    """A configuration file with an S3 remote, and two crypt remotes over it."""
    config = server.folder / 'rclone.conf'
    if config.exists():
        return config

    def obscured(text):
        return subprocess.run(['rclone', 'obscure', text], check=True, capture_output=True, text=True).stdout.strip()
    config.write_text(f'''[plain]
type = s3
provider = Other
endpoint = {server.endpoint}
region = {server.region}
access_key_id = {server.access_key}
secret_access_key = {server.secret_key}
chunk_size = 5Mi
upload_cutoff = 5Mi

[secret]
type = crypt
remote = plain:{BUCKET}/vault
filename_encryption = standard
directory_name_encryption = true
filename_encoding = base64
password = {obscured('a password')}
password2 = {obscured('its salt')}

[visible]
type = crypt
remote = plain:{BUCKET}/visible
filename_encryption = off
directory_name_encryption = false
password = {obscured('a password')}
''')
    return config


def rclone(server, *args, status=0, text=True):
    done = subprocess.run(['rclone', *args, '--config', str(setup(server)), '--retries', '1', '--low-level-retries', '1'], cwd=server.folder,
                          env={'PATH': os.environ['PATH'], 'HOME': str(server.folder)}, capture_output=True, text=text, timeout=300)
    if done.returncode != status:
        raise Failure(f'rclone {" ".join(args)}: status {done.returncode}, want {status}: {done.stderr[-800:]!r}')
    return done.stdout if status == 0 else done.stdout + done.stderr


def tree(path):
    return {str(p.relative_to(path)): hashlib.sha256(p.read_bytes()).hexdigest() for p in path.rglob('*') if p.is_file()}


def stored(server):
    return s3lib.keys(s3lib.client(server).list_objects_v2(Bucket=BUCKET, Prefix='vault/'))


@case
def sync_stores_nothing_in_the_clear(server):
    source = server.folder / 'tree'
    for i in range(40):
        path = source / f'd{i % 4}' / ('ünï cøde' if i % 5 == 0 else 'plain') / f'file {i} {"x" * (i * 2)}.bin'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(s3lib.pattern(i * 997, i))
    (source / 'empty').write_bytes(b'')
    (source / 'large.bin').write_bytes(s3lib.pattern((17 << 20) + 5, 'large'))
    s3lib.client(server).create_bucket(Bucket=BUCKET)
    rclone(server, 'sync', 'tree', REMOTE)
    names = stored(server)
    same(len(names), 42, 'objects')
    true(not any('plain' in name or 'file' in name for name in names), f'a name in the clear: {names[:3]}')
    large = max(s3lib.client(server).list_objects_v2(Bucket=BUCKET, Prefix='vault/')['Contents'], key=lambda o: o['Size'])
    true('-' in large['ETag'], f'the large file did not go by parts: {large["ETag"]}')
    head = s3lib.body(s3lib.client(server).get_object(Bucket=BUCKET, Key=large['Key'], Range='bytes=0-7'))
    same(head, b'RCLONE\x00\x00', 'the magic of an encrypted file')


@case
def a_second_sync_sends_nothing(server):
    contains(rclone(server, 'sync', '-v', '--use-json-log', '--log-file', 'sync.log', 'tree', REMOTE) + (server.folder / 'sync.log').read_text(), 'There was nothing to transfer', 'the log')


@case
def what_comes_back_is_what_was_stored(server):
    rclone(server, 'copy', REMOTE, 'back')
    same(tree(server.folder / 'back'), tree(server.folder / 'tree'), 'tree')
    data = (server.folder / 'tree/large.bin').read_bytes()
    same(rclone(server, 'cat', '--offset', '9000001', '--count', '70000', REMOTE + 'large.bin', text=False) == data[9000001:9070001], True, 'a range of an encrypted file')


@case
def checks_find_no_difference_and_then_the_one_there_is(server):
    rclone(server, 'check', 'tree', REMOTE)
    contains(rclone(server, 'cryptcheck', '-v', 'tree', REMOTE, '--log-file', 'check.log') + (server.folder / 'check.log').read_text(), '0 differences found', 'cryptcheck')
    path = server.folder / 'tree/d1/plain/file 1 xx.bin'
    path.write_bytes(b'y' * len(path.read_bytes()))   # same length: only what is encrypted tells
    contains(rclone(server, 'cryptcheck', 'tree', REMOTE, status=1), '1 differences found', 'cryptcheck of a changed file')
    rclone(server, 'sync', '--checksum', '--ignore-times', 'tree', REMOTE)
    rclone(server, 'cryptcheck', 'tree', REMOTE)


@case
def moves_and_deletes(server):
    before = len(stored(server))
    rclone(server, 'move', REMOTE + 'd2', REMOTE + 'moved/d2')
    same(rclone(server, 'lsf', '-R', '--files-only', REMOTE + 'd2'), '', 'what is left of the old folder')
    same(len(stored(server)), before, 'objects after the move')
    rclone(server, 'check', 'tree/d2', REMOTE + 'moved/d2')
    rclone(server, 'deletefile', REMOTE + 'empty')
    rclone(server, 'delete', REMOTE + 'd3')
    same(len(stored(server)), before - 1 - 10, 'objects after deletes')
    rclone(server, 'sync', 'tree', REMOTE)
    rclone(server, 'cryptcheck', 'tree', REMOTE)
    rclone(server, 'purge', REMOTE)
    same(stored(server), [], 'after purge')


@case
def names_in_the_clear_with_encrypted_content(server):
    rclone(server, 'copy', 'tree/d0', 'visible:d0')
    names = s3lib.keys(s3lib.client(server).list_objects_v2(Bucket=BUCKET, Prefix='visible/'))
    same(len(names), 10, 'objects')
    true(all('/file ' in name for name in names) and any('ünï cøde' in name for name in names), f'{names[:3]}')
    rclone(server, 'cryptcheck', 'tree/d0', 'visible:d0')


if __name__ == '__main__':
    main()
