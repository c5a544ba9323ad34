"""Requests through pgbouncer in DATABASE_POOL_URL, beside the same unnamed statements on a direct connection, in one run.

Usage: pooler.py ROWLOCK_BENCH [its options]; bench/run pooler calls it. Fails where the pooler's rate is under 70 % of the other.
"""
import json
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / 'tests' / 'clients'))

from harness import Server, temp_dir   # noqa: E402
from pg import Postgres, stack, stack_environment   # noqa: E402
from pgbouncer import Pooler   # noqa: E402

AIM = 0.70
USER = '317eadce-631a-4429-a0bb-f19a7a517b4a'
PARTS = 'floor,rest-public,rest-token,rest-post'


def compare(bench, options, db, pooler):
    """The report of rowlock_bench, the pooler's server first."""
    folders = [temp_dir(), temp_dir()]
    direct = {'DATABASE_POOL_URL': db.url('supabase_storage_admin')}   # what a pool URL names gets no named statements
    environments = [stack_environment(db, folders[0], DATABASE_POOL_URL=pooler.url), stack_environment(db, folders[1], **direct)]
    with Server(env=environments[0], folder=folders[0]) as first, Server(env=environments[1], folder=folders[1]) as second:
        db.run((HERE / 'policies.sql').read_text())
        keys = environments[0]
        apis = [f'http://127.0.0.1:{server.port}' for server in (first, second)]
        command = [bench, f'{apis[0]}/s3', '--compare', f'{apis[1]}/s3', '--rest', apis[0], '--compare-rest', apis[1],
                   '--access-key', keys['S3_PROTOCOL_ACCESS_KEY_ID'], '--secret-key', keys['S3_PROTOCOL_ACCESS_KEY_SECRET'],
                   '--service-key', keys['SERVICE_KEY'], '--token', first.token(USER),
                   '--pid', first.pid, '--compare-pid', second.pid, '--database-pid', db.process.pid,
                   '--folder', folders[0], '--parts', PARTS, '--connections', '32', *options, '--json']
        done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True)
        if done.returncode:
            sys.exit(done.returncode)
        return json.loads(done.stdout)


def show(report):
    """Prints the figures; returns the smallest ratio of rates."""
    for name, figure in report['floor'].items():
        print(f'  {name:<64}{figure["value"]:>10.0f} {figure["unit"]}')
    pooled, direct = (endpoint['figures'] for endpoint in report['endpoints'])
    print(f'  {"":<64}{"pgbouncer":>10}{"direct":>10}')
    ratios = []
    for name, figure in pooled.items():
        if name not in direct:
            continue
        mine, other = figure['value'], direct[name]['value']
        line = f'  {name:<64}{mine:>10.1f}{other:>10.1f} {figure["unit"]:<12}'
        if figure['unit'] == 'requests/s':
            ratios.append(mine / other)
            line += f'{100 * ratios[-1]:>5.0f} %'
        print(line)
    return min(ratios)


if __name__ == '__main__':
    if len(sys.argv) < 2 or not os.access(sys.argv[1], os.X_OK):
        sys.exit(__doc__.strip())
    with Postgres(fsync=True) as db:
        stack(db)
        with Pooler(db, connections=20) as pooler:
            least = show(compare(sys.argv[1], sys.argv[2:], db, pooler))
    print(f'the smallest ratio is {100 * least:.0f} %, the aim {100 * AIM:.0f} %')
    sys.exit(least < AIM)
