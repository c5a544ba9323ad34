#!/usr/bin/env python3
"""Plays tests/contract/record.py against a fresh server in the database of the recording, and compares.

usage: play.py [STEP_REGEX]

record.py and scenario.py are kept as they were when the recording was made. They expect every protocol to be there:
so requests that cannot even be sent, since the step that should have named their path failed, are left out here.
"""
import os
import pathlib
import runpy
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
CONTRACT = ROOT / 'tests/contract'
sys.path[:0] = [str(ROOT / 'tests/clients'), str(CONTRACT)]

from harness import Server, temp_dir   # noqa: E402
from pg import Postgres, stack_environment   # noqa: E402

TENANT = 'bjhaohmqunupljrqypxz'
# What is compared: the health routes, what REST does with buckets and objects, resumable uploads, rendered images, and the S3 steps. Left out: the buckets that the REST steps
# make (`s3 ListBuckets`), and the objects that they upload (`s3 token …`).
STEPS = r"^(health|(bucket|object|public|list|copy|move|delete|sign|upload|rls|cdn|tus|render)([ .].*)?|s3 (?!ListBuckets$|token ).*)$"


def record(server, db, out):
    """Runs record.py in this process with the environment it reads."""
    os.environ.update(SERVICE_KEY=server.keys['SERVICE_KEY'], ANON_KEY=server.keys['ANON_KEY'], JWT_SECRET=server.keys['PGRST_JWT_SECRET'], S3_PREFIX='/s3',
                      S3_ACCESS_KEY=server.access_key, S3_SECRET_KEY=server.secret_key, REGION='us-east-1', TENANT_ID=TENANT)
    import scenario
    play = scenario.play

    def careful(http, sql, base):
        def sendable(step, method, path, *args, **more):
            return http(step, method, path if path.startswith('/') else '/' + path, *args, **more)
        play(sendable, sql, base)

    scenario.play = careful
    sys.argv = ['record.py', server.url, db.url(), str(out)]
    runpy.run_path(str(CONTRACT / 'record.py'), run_name='__main__')


def main():
    steps = sys.argv[1] if len(sys.argv) > 1 else STEPS
    folder = temp_dir('rowlock-replay-')
    with Postgres() as db:
        db.run("create role postgres superuser login password 'postgres'")
        environment = stack_environment(db, folder, DATABASE_URL=db.url('postgres'), DB_INSTALL_ROLES='true', TENANT_ID=TENANT, REGION='us-east-1',
                                        IMAGE_TRANSFORMATION_ENABLED='true', IMGPROXY_URL='http://127.0.0.1:1')
        with Server(env=environment, folder=folder) as server:
            record(server, db, folder / 'mine.jsonl')
            done = subprocess.run([sys.executable, CONTRACT / 'compare.py', CONTRACT / 'recording.jsonl', folder / 'mine.jsonl', ROOT / 'deviations.txt', steps])
    if os.environ.get('KEEP'):
        print('recorded in', folder / 'mine.jsonl')
    sys.exit(done.returncode)


if __name__ == '__main__':
    main()
