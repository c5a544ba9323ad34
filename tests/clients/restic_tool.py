"""restic, as its users use it: a repository is made, backed up to, checked with all its data, restored, pruned.

Its S3 client knows hosts only, so nginx stands in front.
"""
import filecmp
import os
import subprocess

from s3 import pattern
from harness import Failure, Server, case, contains, finish, run_cases, same, true
from rooted import Rooted


def restic(server, *args, status=0):
    env = {'PATH': os.environ['PATH'], 'HOME': str(server.folder), 'RESTIC_PASSWORD': 'secret', 'AWS_ACCESS_KEY_ID': server.access_key,
           'AWS_SECRET_ACCESS_KEY': server.secret_key, 'AWS_DEFAULT_REGION': server.region, 'RESTIC_CACHE_DIR': str(server.folder / 'cache'),
           'RESTIC_REPOSITORY': f's3:http://{server.rooted}/restic-bucket/repo'}
    done = subprocess.run(['restic', *map(str, args)], capture_output=True, text=True, timeout=180, env=env)
    if done.returncode != status:
        raise Failure(f'restic {" ".join(map(str, args))}: status {done.returncode}: {done.stdout[-600:]} {done.stderr[-800:]}')
    return done.stdout


def tree(server):
    return server.folder / 'tree'


@case
def a_backup(server):
    for name, size in (('a.txt', 5), ('sub/b.bin', 9_000_000), ('sub/deep/c.bin', 1_000_000)):
        path = tree(server) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pattern(size, name))
    restic(server, 'init')
    contains(restic(server, 'backup', tree(server)), 'snapshot', 'backup')
    (tree(server) / 'a.txt').write_text('changed')
    restic(server, 'backup', tree(server))
    same(restic(server, 'snapshots', '--compact').count('\n') > 3, True, 'snapshots')


@case
def all_of_it_is_whole(server):
    contains(restic(server, 'check', '--read-data'), 'no errors were found', 'check')


@case
def it_comes_back(server):
    target = server.folder / 'restored'
    restic(server, 'restore', 'latest', '--target', target)
    restored = target / str(tree(server)).lstrip('/')
    for path in tree(server).rglob('*'):
        if path.is_file():
            true(filecmp.cmp(path, restored / path.relative_to(tree(server)), shallow=False), f'{path.name} differs')


@case
def old_snapshots_go(server):
    restic(server, 'forget', '--keep-last', '1', '--prune')
    contains(restic(server, 'check', '--read-data'), 'no errors were found', 'check')


if __name__ == '__main__':
    with Server() as server, Rooted(server) as host:
        server.rooted = host
        counts = run_cases(server)
    finish(*counts)
