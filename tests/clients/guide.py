"""The two commands of the guide, word for word, on the port the guide names. Fails (never skips) where port 8000 is taken."""
import os
import socket
import subprocess

import s3 as s3lib
from harness import Failure, Server, case, finish, run_cases, same

BUCKET = 'your-storage-bucket'
AWS = ('( set -a && source .env > /dev/null 2>&1 && echo "" && AWS_ACCESS_KEY_ID=$S3_PROTOCOL_ACCESS_KEY_ID '
       'AWS_SECRET_ACCESS_KEY=$S3_PROTOCOL_ACCESS_KEY_SECRET aws s3 ls --endpoint-url http://localhost:8000/storage/v1/s3 '
       '--region $REGION s3://your-storage-bucket )')
RCLONE = ('( set -a && source .env > /dev/null 2>&1 && echo "" && rclone ls --s3-endpoint http://localhost:8000/storage/v1/s3 '
          '--s3-region $REGION --s3-provider Other --s3-access-key-id "$S3_PROTOCOL_ACCESS_KEY_ID" '
          '--s3-secret-access-key "$S3_PROTOCOL_ACCESS_KEY_SECRET" :s3:your-storage-bucket )')


def shell(server, command, name='bash'):
    """As a user's second shell in that folder: its own environment, nothing of ours."""
    env = {'PATH': os.environ['PATH'], 'HOME': str(server.folder)}
    done = subprocess.run([name, '-c', command], cwd=server.folder, env=env, capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise Failure(f'status {done.returncode}: {done.stdout!r} {done.stderr!r}')
    return done.stdout


@case
def before_any_upload_the_listing_is_empty(server):
    s3lib.client(server).create_bucket(Bucket=BUCKET)
    same(shell(server, AWS), '\n', 'aws s3 ls')
    same(shell(server, RCLONE), '\n', 'rclone ls')


@case
def aws_lists_the_bucket(server):
    s3lib.client(server).put_object(Bucket=BUCKET, Key='hello.txt', Body=b'hello')
    s3lib.client(server).put_object(Bucket=BUCKET, Key='folder/inner.txt', Body=b'inner!!')
    lines = shell(server, AWS).splitlines()
    same(lines[0], '', 'first line (the echo)')
    same([line.split()[-2:] for line in lines[1:]], [['PRE', 'folder/'], ['5', 'hello.txt']], 'aws s3 ls')


@case
def rclone_lists_the_bucket(server):
    lines = shell(server, RCLONE).splitlines()
    same(sorted(' '.join(line.split()) for line in lines[1:]), ['5 hello.txt', '7 folder/inner.txt'], 'rclone ls')


@case
def the_env_file_is_private_and_sources_cleanly(server):
    # `source .env &&` stops the guide's command when the last line of the file does not return 0.
    same(oct((server.folder / '.env').stat().st_mode & 0o777), '0o600', 'mode of .env')
    out = shell(server, 'set -eu; set -a; source ./.env; echo "$REGION|$STORAGE_TENANT_ID|$GLOBAL_S3_BUCKET|$SUPABASE_PUBLIC_URL|$API_EXTERNAL_URL"')
    same(out.strip(), 'stub|stub|stub|http://localhost:8000|http://localhost:8000', 'values')


@case
def it_listens_on_loopback_only(server):
    # Without SERVER_HOST the server must not be reachable from another machine.
    with open('/proc/net/tcp') as four, open('/proc/net/tcp6') as six:
        lines = [line.split() for line in four.readlines()[1:] + six.readlines()[1:]]
    hosts = sorted({f[1].split(':')[0] for f in lines if f[3] == '0A' and int(f[1].split(':')[1], 16) == 8000})
    loopback = {'0100007F', '00000000000000000000000001000000'}
    if not hosts or set(hosts) - loopback:
        raise Failure(f'listening addresses on port 8000: {hosts}')


def port_is_free():
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(('127.0.0.1', 8000))
        except OSError:
            return False
    return True


if __name__ == '__main__':
    if not port_is_free():
        print('FAILED: port 8000 is taken; the guide names that port, so end what listens there and run `./test guide` again')
        finish(0, 1)
    running = Server(port=8000)
    del running.environ['SERVER_PORT']   # the port that a newcomer gets must be 8000 without being told
    del running.environ['ROWLOCK_DATA']
    running.data = running.folder / 'rowlock-data'
    try:
        running.start()
        counts = run_cases(running)
    except Failure as failure:
        print(f'FAILED server: {failure}')
        counts = (0, 1)
    finally:
        running.discard()
    finish(*counts)
