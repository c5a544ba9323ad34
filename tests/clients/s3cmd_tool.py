"""s3cmd, as its users use it: buckets, put, get, sync, info, multipart, deletes. It knows hosts only, so nginx stands in front."""
import filecmp
import os
import shutil
import subprocess

from s3 import pattern
from harness import Failure, Server, case, contains, finish, run_cases, same, true
from rooted import Rooted

BUCKET = 's3://s3cmd-bucket'


def s3cmd(server, *args, status=0):
    program = shutil.which('s3cmd')
    host = server.rooted
    config = server.folder / 's3cfg'
    config.write_text(f'[default]\naccess_key = {server.access_key}\nsecret_key = {server.secret_key}\nhost_base = {host}\nhost_bucket = {host}\n'
                      f'bucket_location = {server.region}\nuse_https = False\nsignature_v2 = False\nmultipart_chunk_size_mb = 5\nprogress_meter = False\n')
    done = subprocess.run([program, '-c', str(config), *map(str, args)], capture_output=True, text=True, timeout=120, env={'PATH': os.environ['PATH'], 'HOME': str(server.folder)})
    if done.returncode != status:
        raise Failure(f's3cmd {" ".join(map(str, args))}: status {done.returncode}: {done.stdout[-600:]} {done.stderr[-800:]}')
    return done.stdout + done.stderr


@case
def buckets(server):
    s3cmd(server, 'mb', BUCKET)
    contains(s3cmd(server, 'ls'), BUCKET, 'ls')
    contains(s3cmd(server, 'info', BUCKET), 'Location:', 'info of a bucket')


@case
def files_go_up_and_come_down(server):
    small, large = server.folder / 'small.txt', server.folder / 'large.bin'
    small.write_bytes(b'hello')
    large.write_bytes(pattern(12 * 1024 * 1024 + 7, 's3cmd'))
    s3cmd(server, 'put', '--mime-type=text/x-odd', '--add-header=x-amz-meta-colour:red', small, f'{BUCKET}/a b/ü+%.txt')
    s3cmd(server, 'put', large, f'{BUCKET}/large.bin')
    back = server.folder / 'back'
    for source, key in ((small, 'a b/ü+%.txt'), (large, 'large.bin')):
        s3cmd(server, 'get', '--force', f'{BUCKET}/{key}', back)
        true(filecmp.cmp(source, back, shallow=False), f'{key} differs')
    text = s3cmd(server, 'info', f'{BUCKET}/a b/ü+%.txt')
    for part in ('text/x-odd', 'colour', 'File size: 5', 'FULL_CONTROL'):
        contains(text, part, 'info of an object')
    contains(s3cmd(server, 'ls', '-r', BUCKET), 'large.bin', 'ls -r')
    contains(s3cmd(server, 'du', BUCKET), str(12 * 1024 * 1024 + 12), 'du')


@case
def folders_are_synced(server):
    tree = server.folder / 'tree'
    for name in ('a.txt', 'sub/b.txt', 'sub/deep/c.txt'):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(name)
    s3cmd(server, 'sync', f'{tree}/', f'{BUCKET}/tree/')
    (tree / 'a.txt').write_text('changed')
    (tree / 'sub/b.txt').unlink()
    s3cmd(server, 'sync', '--delete-removed', f'{tree}/', f'{BUCKET}/tree/')
    copy = server.folder / 'copy'
    copy.mkdir()
    s3cmd(server, 'sync', f'{BUCKET}/tree/', f'{copy}/')
    same(sorted(str(p.relative_to(copy)) for p in copy.rglob('*') if p.is_file()), ['a.txt', 'sub/deep/c.txt'], 'files')
    same((copy / 'a.txt').read_text(), 'changed', 'a.txt')
    true('upload' not in s3cmd(server, 'sync', f'{tree}/', f'{BUCKET}/tree/'), 'a second sync has nothing to do')


@case
def copies_moves_and_deletes(server):
    s3cmd(server, 'cp', f'{BUCKET}/large.bin', f'{BUCKET}/copy.bin')
    s3cmd(server, 'mv', f'{BUCKET}/copy.bin', f'{BUCKET}/moved.bin')
    s3cmd(server, 'modify', '--add-header=Cache-Control:max-age=7', f'{BUCKET}/moved.bin')
    listing = s3cmd(server, 'ls', f'{BUCKET}/')
    true('moved.bin' in listing and 'copy.bin' not in listing, listing)
    same(s3cmd(server, 'multipart', BUCKET).count('large.bin'), 0, 'pending uploads')
    contains(s3cmd(server, 'signurl', f'{BUCKET}/moved.bin', '+60'), 'Signature', 'signurl')
    s3cmd(server, 'del', '--recursive', '--force', BUCKET)
    s3cmd(server, 'rb', BUCKET)
    true(BUCKET not in s3cmd(server, 'ls'), 'the bucket is gone')


if __name__ == '__main__':
    with Server() as server, Rooted(server) as host:
        server.rooted = host
        counts = run_cases(server)
    finish(*counts)
