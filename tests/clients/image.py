"""deploy/Dockerfile, step by step in roots of its own, and the container that Compose would start from it: `python3 image.py` replays the last stage with the program
that is there already, `python3 image.py whole` all of them, from nothing."""
import ctypes
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys

from compose import environment, whole
from deploy import DEPLOY, OURS, USERS
from dockerfile import Replay
from harness import ROOT, Failure, binary, case, finish, run_cases, same, temp_dir, true, wait_for
from pg import Postgres
from s3 import body, client

BUILT = '/src/target/release/rowlock'


class Container:
    """What the suite's S3 client needs to know of the server in the root."""
    url, endpoint, region, log_path = 'http://127.0.0.1:5000', 'http://127.0.0.1:5000/storage/v1/s3', 'stub', None

    def __init__(self, replay, root, stage):
        self.replay, self.root, self.stage = replay, root, stage
        self.process = None
        self.access_key, self.secret_key = 'a' * 32, 'b' * 64
        self.service = whole([OURS], {**USERS, 'POSTGRES_PASSWORD': 'postgres', 'S3_PROTOCOL_ACCESS_KEY_ID': self.access_key, 'S3_PROTOCOL_ACCESS_KEY_SECRET': self.secret_key})['services']['storage']

    def check(self, words):
        return self.root.run(words).returncode


def alone():
    """Gives this process and its children a network of their own, in which every port is free."""
    if ctypes.CDLL(None, use_errno=True).unshare(0x40000000):   # CLONE_NEWNET (unshare(2))
        raise Failure(f'unshare: {os.strerror(ctypes.get_errno())}')
    with socket.socket() as s:
        fcntl.ioctl(s, 0x8914, struct.pack('16sH14x', b'lo', 0x1 | 0x40))   # SIOCSIFFLAGS: up and running (netdevice(7))


@case
def the_steps_run(it):
    # RUN, COPY and WORKDIR have been run; what they were for is there.
    entry, command = (json.loads(it.stage.first(word)) for word in ('ENTRYPOINT', 'CMD'))
    true(os.access(it.root.folder / entry[0].lstrip('/'), os.X_OK), f'no program {entry[0]}')
    same(command, ['serve'], 'what is run')
    true((it.root.folder / 'var/lib/storage').is_dir(), 'no folder for the volume')
    same(it.root.workdir, '/var/lib/rowlock', 'the working folder')
    same(it.root.must([entry[0], '--version']).split()[0], 'rowlock', 'the program in its image')
    same(it.root.must(['/bin/sh', '-c', 'ls /var/lib/apt/lists']), '', 'package lists that were left')
    same(sorted(p.name for p in it.root.path('').iterdir()), [], 'files in the working folder')


@case
def the_container_serves_and_stops(it):
    db = Postgres(port=5432)
    db.port = 5432
    with db:
        db.run("create role postgres login superuser password 'postgres'; create role authenticator login noinherit")
        (it.root.folder / 'etc/hosts').write_text('127.0.0.1 localhost storage db\n')
        it.root.variables.update(environment(it.service))
        health = [json.loads(it.stage.first('HEALTHCHECK').split('CMD', 1)[1]), it.service['healthcheck']['test'][1:]]
        same([it.check(words) == 0 for words in health], [False, False], 'health before the start')
        log = it.root.folder.parent / 'log'
        with open(log, 'wb') as out:
            process = subprocess.Popen(it.root.argv([*json.loads(it.stage.first('ENTRYPOINT')), *json.loads(it.stage.first('CMD'))]), stdout=out, stderr=out)
        try:
            def healthy():
                true(process.poll() is None, f'it ended: {log.read_text()[-1500:]}')
                return all(it.check(words) == 0 for words in health)
            wait_for('both health checks', healthy, 60, 0.5)
            s3 = client(it)
            s3.create_bucket(Bucket='in-the-image')
            s3.put_object(Bucket='in-the-image', Key='one', Body=b'one')
            same(body(s3.get_object(Bucket='in-the-image', Key='one')), b'one', 'what was put')
            same(len(list((it.root.folder / 'var/lib/storage').glob('stub/stub/in-the-image/one/*'))), 1, 'files in the volume')
            process.send_signal(signal.SIGTERM)
            same(process.wait(30), 0, 'status of the end')
        except Failure:
            print(log.read_text()[-3000:])
            raise
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        same([it.check(words) == 0 for words in health], [False, False], 'health after the end')


def run(long):
    folder = temp_dir('rowlock-image-')
    try:
        replay = Replay(DEPLOY / 'Dockerfile', ROOT, folder, layers=not long)
        *before, last = replay.stages
        for stage in before if long else []:
            replay.stage(stage)
            print(f'the stage {stage.name!r} has run', flush=True)
        root = replay.stage(last, {BUILT: binary()} if not long else {})
        entry = json.loads(last.first('ENTRYPOINT'))[0]
        if not long and re.search(r"version `GLIBC_[\d.]+' not found", root.run([entry, '--version']).stderr):
            print('needs ./soak image: the program that was built here wants a newer C library than the image has')
            return 1, 0
        container = Container(replay, root, last)
        alone()
        return run_cases(container)
    finally:
        if not os.environ.get('KEEP'):
            shutil.rmtree(folder, ignore_errors=True)


def main():
    if os.geteuid():
        print('needs root: deploy/Dockerfile is replayed by chroot')
        finish(1, 0)
    try:
        counts = run('whole' in sys.argv)
    except Failure as failure:
        print(f'FAILED: {failure}')
        counts = (0, 1)
    finish(*counts)


if __name__ == '__main__':
    main()
