"""aws CLI v1, as users type it: each command against a fresh server over a socket."""
import hashlib
import os
import pathlib
import subprocess
import urllib.error
import urllib.request

import s3 as s3lib
from harness import Failure, case, contains, main, same, true
from tls import Terminator

BUCKET = 'cli-bucket'
MESSAGE_V2 = 's3v4'   # the word that tells a user which setting turns Signature V4 on


def aws(server, *args, status=0, endpoint=None, text=True, region='stub', service='s3', **environ):
    env = {'PATH': os.environ['PATH'], 'HOME': str(server.folder), 'AWS_ACCESS_KEY_ID': server.access_key,
           'AWS_SECRET_ACCESS_KEY': server.secret_key, 'AWS_MAX_ATTEMPTS': '1', 'AWS_EC2_METADATA_DISABLED': 'true', **environ}
    done = subprocess.run(['aws', service, *args, '--endpoint-url', endpoint or server.endpoint, '--region', region],
                          env=env, cwd=server.folder, capture_output=True, text=text, timeout=300)
    if done.returncode != status:
        raise Failure(f'aws {service} {" ".join(args)}: status {done.returncode}, want {status}: {done.stdout[-300:]!r} {done.stderr[-600:]!r}')
    return done.stdout if text and status == 0 else done.stdout + done.stderr


def fetch(url, method='GET', data=None, headers=None):
    request = urllib.request.Request(url, data=data, method=method, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=30) as r:
            return r.status, r.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def write(server, name, data):
    path = server.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def listing(server, where, *args):
    """`aws s3 ls` as {name: size}; folders have size None. Columns: date, time, size, name, or: PRE, name."""
    out = {}
    for line in aws(server, 'ls', where, *args).splitlines():
        fields = line.split(None, 3)
        if fields and fields[0] == 'PRE':
            out[line.split('PRE ', 1)[1]] = None
        elif len(fields) == 4:
            out[fields[3]] = int(fields[2])
    return out


@case
def mb_makes_a_bucket_that_ls_shows(server):
    contains(aws(server, 'mb', f's3://{BUCKET}'), f'make_bucket: {BUCKET}')
    names = [line.split()[-1] for line in aws(server, 'ls').splitlines()]
    same(names, [BUCKET], 'buckets')


@case
def mb_twice_is_refused_by_name(server):
    # Which of the two codes AWS uses depends on who owns the bucket: here it is always ours.
    contains(aws(server, 'mb', f's3://{BUCKET}', status=1), 'BucketAlreadyOwnedByYou')


@case
def mb_refuses_a_name_outside_the_s3_rules(server):
    contains(aws(server, 'mb', 's3://Bad_Name', status=1), 'InvalidBucketName')


@case
def ls_of_an_empty_bucket_ends_well_and_of_none_does_not(server):
    # `aws s3 ls s3://bucket` is the guide's first command: exit status 0, no output, also where nothing is in it.
    same(aws(server, 'ls', f's3://{BUCKET}'), '', 'empty listing')
    contains(aws(server, 'ls', 's3://no-such-bucket', status=255), 'NoSuchBucket')


@case
def cp_up_and_down_keeps_every_byte(server):
    for name, size in (('empty', 0), ('one', 1), ('small.txt', 1000), ('block.bin', 65536), ('just-under.bin', 8 * 1024 * 1024 - 1)):
        source = write(server, f'up/{name}', s3lib.pattern(size, name))
        aws(server, 'cp', str(source), f's3://{BUCKET}/cp/{name}', '--no-progress')
        aws(server, 'cp', f's3://{BUCKET}/cp/{name}', 'down/' + name, '--no-progress')
        same(hashlib.sha256((server.folder / 'down' / name).read_bytes()).hexdigest(), hashlib.sha256(source.read_bytes()).hexdigest(), name)
    same(listing(server, f's3://{BUCKET}/cp/')['small.txt'], 1000, 'size in ls')


@case
def cp_of_a_large_file_goes_by_parts_both_ways(server):
    # Over 8 MB the CLI uploads parts in parallel and downloads ranges in parallel; the ETag shows that parts were used.
    source = write(server, 'up/large.bin', s3lib.pattern(40 * 1024 * 1024 + 7, 'large'))
    aws(server, 'cp', str(source), f's3://{BUCKET}/large.bin', '--no-progress')
    aws(server, 'cp', f's3://{BUCKET}/large.bin', 'down/large.bin', '--no-progress')
    same((server.folder / 'down/large.bin').read_bytes() == source.read_bytes(), True, 'bytes equal')
    contains(aws(server, 'head-object', '--bucket', BUCKET, '--key', 'large.bin', service='s3api'), '-6')


@case
def cp_streams_through_pipes(server):
    env = {'PATH': os.environ['PATH'], 'HOME': str(server.folder), 'AWS_ACCESS_KEY_ID': server.access_key, 'AWS_SECRET_ACCESS_KEY': server.secret_key}
    tail = ['--endpoint-url', server.endpoint, '--region', 'stub']
    subprocess.run(['aws', 's3', 'cp', '-', f's3://{BUCKET}/piped', *tail], input=b'through a pipe', env=env, check=True, capture_output=True)
    got = subprocess.run(['aws', 's3', 'cp', f's3://{BUCKET}/piped', '-', *tail], env=env, check=True, capture_output=True)
    same(got.stdout, b'through a pipe', 'piped bytes')


@case
def cp_between_keys_keeps_type_and_metadata(server):
    write(server, 'up/page.html', b'<p>hi</p>')
    aws(server, 'cp', 'up/page.html', f's3://{BUCKET}/page.html', '--metadata', 'colour=red', '--cache-control', 'max-age=60')
    aws(server, 'cp', f's3://{BUCKET}/page.html', f's3://{BUCKET}/copied/page.html')
    head = aws(server, 'head-object', '--bucket', BUCKET, '--key', 'copied/page.html', service='s3api')
    for part in ('"ContentType": "text/html"', '"colour": "red"', '"CacheControl": "max-age=60"', '"ContentLength": 9'):
        contains(head, part, 'head-object')


@case
def cp_of_a_missing_key_is_a_404(server):
    contains(aws(server, 'cp', f's3://{BUCKET}/none', 'down/none', status=1), '404')


@case
def odd_names_survive(server):
    # Users' most repeated complaint of the reference: names with letters beyond ASCII were refused.
    for name in ('ünï cödé.txt', '日本/語.txt', 'plus+and&amp;.txt', "quote's \"x\".txt", 'percent%25.txt', 'hash#tag?.txt', 'brackets[1]{2}.txt', 'a//b.txt', '~tilde^|.txt', '😀.txt'):
        path = write(server, 'odd.bin', name.encode())
        aws(server, 'cp', str(path), f's3://{BUCKET}/odd/{name}')
        aws(server, 'cp', f's3://{BUCKET}/odd/{name}', 'odd.back')
        same((server.folder / 'odd.back').read_bytes(), name.encode(), name)
    listed = listing(server, f's3://{BUCKET}/odd/', '--recursive')
    contains(list(listed), 'odd/ünï cödé.txt', 'listing')
    contains(list(listed), 'odd/a//b.txt', 'listing')
    same(len(listed), 10, 'number of odd names')


@case
def sync_up_moves_only_what_changed(server):
    for i in range(30):
        write(server, f'tree/d{i % 3}/f{i}.txt', f'file {i}'.encode())
    same(aws(server, 'sync', 'tree', f's3://{BUCKET}/tree', '--no-progress').count('upload:'), 30, 'first sync')
    same(aws(server, 'sync', 'tree', f's3://{BUCKET}/tree', '--no-progress'), '', 'second sync')
    write(server, 'tree/d0/f0.txt', b'changed: another length')
    (server.folder / 'tree/d1/f1.txt').unlink()
    out = aws(server, 'sync', 'tree', f's3://{BUCKET}/tree', '--delete', '--no-progress')
    same((out.count('upload:'), out.count('delete:')), (1, 1), 'third sync')
    same(len(listing(server, f's3://{BUCKET}/tree/', '--recursive')), 29, 'objects left')


@case
def sync_down_brings_the_same_tree(server):
    same(aws(server, 'sync', f's3://{BUCKET}/tree', 'back', '--no-progress').count('download:'), 29, 'downloads')
    there, back = server.folder / 'tree', server.folder / 'back'
    want = {str(p.relative_to(there)): p.read_bytes() for p in there.rglob('*') if p.is_file()}
    same({str(p.relative_to(back)): p.read_bytes() for p in back.rglob('*') if p.is_file()}, want, 'tree')
    # The times in the listing must be ones the CLI compares with: nothing is fetched twice.
    same(aws(server, 'sync', f's3://{BUCKET}/tree', 'back', '--no-progress'), '', 'second sync down')


@case
def sync_between_prefixes_copies_on_the_server(server):
    same(aws(server, 'sync', f's3://{BUCKET}/tree', f's3://{BUCKET}/tree2', '--no-progress').count('copy:'), 29, 'copies')
    same(sorted(listing(server, f's3://{BUCKET}/tree2/')), ['d0/', 'd1/', 'd2/'], 'folders')


@case
def mv_leaves_only_the_new_name(server):
    path = write(server, 'moving.txt', b'moving')
    aws(server, 'mv', str(path), f's3://{BUCKET}/mv/a.txt')
    true(not path.exists(), 'the local file is still there after mv')
    aws(server, 'mv', f's3://{BUCKET}/mv/a.txt', f's3://{BUCKET}/mv/b.txt')
    same(listing(server, f's3://{BUCKET}/mv/'), {'b.txt': 6}, 'after mv')
    aws(server, 'mv', f's3://{BUCKET}/mv/b.txt', str(path))
    same(path.read_bytes(), b'moving', 'moved back')
    same(aws(server, 'ls', f's3://{BUCKET}/mv/', status=1), '', 'after mv down')


@case
def presign_without_v4_is_refused_with_the_remedy(server):
    # Without a setting, aws CLI v1 signs us-east-1 URLs with the dead Signature V2: the answer must say what to set.
    url = aws(server, 'presign', f's3://{BUCKET}/page.html', region='us-east-1').strip()
    if 'X-Amz-Signature' in url:
        raise Failure('this CLI presigns with V4 by default: the case has lost its point')
    status, text = fetch(url)
    true(400 <= status < 500, f'a V2 URL got {status}')
    contains(text.decode(), '<Error', 'V2 refusal')
    contains(text.decode(), MESSAGE_V2, 'V2 refusal')


@case
def presign_with_v4_opens_the_object(server):
    config = server.folder / 'aws-config'
    config.write_text('[default]\ns3 =\n    signature_version = s3v4\n    addressing_style = path\n')
    for region in ('us-east-1', 'stub'):
        url = aws(server, 'presign', f's3://{BUCKET}/page.html', '--expires-in', '60', region=region, AWS_CONFIG_FILE=str(config)).strip()
        contains(url, 'X-Amz-Signature=', 'V4 URL')
        same(fetch(url), (200, b'<p>hi</p>'), f'presigned for {region}')
        same(fetch(url.replace('page.html', 'large.bin'))[0], 403, 'another key under the same signature')
        same(fetch(url, 'PUT', b'x')[0], 403, 'another method under the same signature')


@case
def a_wrong_secret_is_named_as_such(server):
    contains(aws(server, 'ls', f's3://{BUCKET}', status=255, AWS_SECRET_ACCESS_KEY='wrong'), 'SignatureDoesNotMatch')
    contains(aws(server, 'ls', f's3://{BUCKET}', status=255, AWS_ACCESS_KEY_ID='nobody'), 'InvalidAccessKeyId')


@case
def uploads_over_tls_use_trailers_and_arrive(server):
    # Over TLS the CLI sends STREAMING-UNSIGNED-PAYLOAD-TRAILER with a CRC32 trailer; the file must hold the bytes alone.
    with Terminator(server.port, server.folder) as tls:
        endpoint = tls.endpoint
        source = write(server, 'up/tls.bin', s3lib.pattern(20 * 1024 * 1024 + 1, 'tls'))
        small = write(server, 'up/tls-small.txt', b'small over tls')
        for path in (source, small):
            aws(server, 'cp', str(path), f's3://{BUCKET}/tls/{path.name}', endpoint=endpoint, AWS_CA_BUNDLE=str(tls.certificate))
            aws(server, 'cp', f's3://{BUCKET}/tls/{path.name}', 'tls.back', endpoint=endpoint, AWS_CA_BUNDLE=str(tls.certificate))
            same((server.folder / 'tls.back').read_bytes() == path.read_bytes(), True, f'{path.name} over TLS')


@case
def rm_removes_one_and_then_all(server):
    aws(server, 'rm', f's3://{BUCKET}/page.html')
    true('page.html' not in listing(server, f's3://{BUCKET}'), 'page.html is still listed')
    same(aws(server, 'rm', f's3://{BUCKET}/tree2/', '--recursive').count('delete:'), 29, 'deleted')
    same(aws(server, 'ls', f's3://{BUCKET}/tree2/', status=1), '', 'tree2 after rm')


@case
def rb_wants_an_empty_bucket_or_force(server):
    contains(aws(server, 'rb', f's3://{BUCKET}', status=1), 'BucketNotEmpty')
    contains(aws(server, 'rb', f's3://{BUCKET}', '--force'), f'remove_bucket: {BUCKET}')
    same(aws(server, 'ls'), '', 'buckets after rb')


if __name__ == '__main__':
    main()
