"""rclone as users configure it: by flags, provider Other."""
import hashlib
import os
import subprocess

import s3 as s3lib
from harness import Failure, case, contains, main, same, true

BUCKET = 'rclone-bucket'


def rclone(server, *args, status=0, text=True):
    flags = ['--config', '/dev/null', '--s3-endpoint', server.endpoint, '--s3-region', 'stub', '--s3-provider', 'Other',
             '--s3-access-key-id', server.access_key, '--s3-secret-access-key', server.secret_key, '--retries', '1', '--low-level-retries', '1']
    done = subprocess.run(['rclone', *args, *flags], cwd=server.folder, env={'PATH': os.environ['PATH'], 'HOME': str(server.folder)},
                          capture_output=True, text=text, timeout=400)
    if done.returncode != status:
        raise Failure(f'rclone {" ".join(args)}: status {done.returncode}, want {status}: {done.stderr[-800:]!r}')
    return done.stdout if status == 0 else done.stdout + done.stderr


def tree(path):
    return {str(p.relative_to(path)): hashlib.md5(p.read_bytes()).hexdigest() for p in path.rglob('*') if p.is_file()}


@case
def mkdir_and_lsd(server):
    rclone(server, 'mkdir', f':s3:{BUCKET}')
    same([line.split()[-1] for line in rclone(server, 'lsd', ':s3:').splitlines()], [BUCKET], 'lsd')


@case
def copy_brings_a_tree_there_and_back(server):
    source = server.folder / 'tree'
    for i in range(60):
        path = source / f'd{i % 4}' / ('ünï' if i % 5 == 0 else 'plain') / f'file {i}.bin'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(s3lib.pattern(i * 997, i))
    rclone(server, 'copy', 'tree', f':s3:{BUCKET}/tree')
    rclone(server, 'copy', f':s3:{BUCKET}/tree', 'back')
    same(tree(server.folder / 'back'), tree(source), 'tree')


@case
def check_finds_no_difference_and_then_the_one_there_is(server):
    rclone(server, 'check', 'tree', f':s3:{BUCKET}/tree')
    rclone(server, 'check', '--download', 'tree', f':s3:{BUCKET}/tree')
    (server.folder / 'tree/d1/plain/file 1.bin').write_bytes(b'y' * 997)   # same length: only the hash tells
    contains(rclone(server, 'check', 'tree', f':s3:{BUCKET}/tree', status=1), '1 differences found')


@case
def md5sum_is_that_of_the_bytes(server):
    got = dict(reversed(line.split('  ', 1)) for line in rclone(server, 'md5sum', f':s3:{BUCKET}/tree').splitlines())
    want = tree(server.folder / 'back')
    same(got, want, 'md5sum')


@case
def sync_makes_both_sides_equal(server):
    (server.folder / 'tree/d2/plain/file 2.bin').unlink()
    (server.folder / 'tree/new.txt').write_bytes(b'new')
    rclone(server, 'sync', 'tree', f':s3:{BUCKET}/tree')
    rclone(server, 'check', 'tree', f':s3:{BUCKET}/tree')
    same(len(rclone(server, 'lsf', '-R', '--files-only', f':s3:{BUCKET}/tree').splitlines()), 60, 'files there')


@case
def a_second_sync_sends_nothing(server):
    # rclone keeps the file's time in x-amz-meta-mtime: where that is lost it uploads everything again.
    log = server.folder / 'sync.log'
    rclone(server, 'sync', '-v', '--log-file', str(log), 'tree', f':s3:{BUCKET}/tree')
    contains(log.read_text(), 'There was nothing to transfer', 'log of the second sync')


@case
def cat_with_offset_reads_a_range(server):
    data = (server.folder / 'tree/d3/plain/file 43.bin').read_bytes()
    where = f':s3:{BUCKET}/tree/d3/plain/file 43.bin'
    same(rclone(server, 'cat', '--offset', '1000', where, text=False), data[1000:], 'offset')
    same(rclone(server, 'cat', '--offset', '1000', '--count', '10', where, text=False), data[1000:1010], 'offset and count')
    same(rclone(server, 'cat', '--tail', '7', where, text=False), data[-7:], 'tail')


@case
def a_300_mb_file_goes_by_parts_and_returns(server):
    source = server.folder / 'big.bin'
    with open(source, 'wb') as f:
        block = s3lib.pattern(1 << 20, 'big')
        for i in range(300):
            f.write(i.to_bytes(8, 'big') + block[8:])
    rclone(server, 'copy', 'big.bin', f':s3:{BUCKET}/big')
    head = s3lib.client(server).head_object(Bucket=BUCKET, Key='big/big.bin')
    same(head['ContentLength'], 300 << 20, 'size')
    true('-' in head['ETag'], f'no multipart ETag: {head["ETag"]}')
    rclone(server, 'copy', f':s3:{BUCKET}/big', 'big-back')
    with open(source, 'rb') as a, open(server.folder / 'big-back/big.bin', 'rb') as b:
        same(hashlib.file_digest(b, 'sha256').hexdigest(), hashlib.file_digest(a, 'sha256').hexdigest(), 'sha256')
    # rclone wrote the whole file's md5 into the metadata, as the ETag of parts is no md5.
    same(rclone(server, 'md5sum', f':s3:{BUCKET}/big/big.bin').split()[0], hashlib.md5(source.read_bytes()).hexdigest(), 'md5 of the large file')


@case
def server_side_copy_and_move(server):
    rclone(server, 'copyto', f':s3:{BUCKET}/tree/new.txt', f':s3:{BUCKET}/copied.txt')
    rclone(server, 'moveto', f':s3:{BUCKET}/copied.txt', f':s3:{BUCKET}/moved.txt')
    same(rclone(server, 'lsf', '--files-only', f':s3:{BUCKET}'), 'moved.txt\n', 'lsf')
    same(rclone(server, 'cat', f':s3:{BUCKET}/moved.txt'), 'new', 'cat')


@case
def rcat_streams_a_body_of_unknown_length(server):
    env = {'PATH': os.environ['PATH'], 'HOME': str(server.folder)}
    subprocess.run(['rclone', 'rcat', f':s3:{BUCKET}/rcat.txt', '--config', '/dev/null', '--s3-endpoint', server.endpoint, '--s3-region', 'stub', '--s3-provider',
                    'Other', '--s3-access-key-id', server.access_key, '--s3-secret-access-key', server.secret_key], input=b'streamed', env=env, check=True)
    same(rclone(server, 'cat', f':s3:{BUCKET}/rcat.txt'), 'streamed', 'rcat')


@case
def purge_empties_and_removes(server):
    rclone(server, 'purge', f':s3:{BUCKET}')
    same(rclone(server, 'lsd', ':s3:'), '', 'buckets left')


if __name__ == '__main__':
    main()
