"""Runs a Node suite of tests/clients/node and takes over its counts."""
import os
import re
import subprocess

from harness import ROOT, Failure


def run(script, label, runner=None, **environ):
    """(passed, failed) of one script, run by itself or by another one; its lines are printed with the label in front."""
    env = {'PATH': os.environ['PATH'], 'HOME': os.environ.get('HOME', '/'), 'NODE_NO_WARNINGS': '1', 'AWS_EC2_METADATA_DISABLED': 'true', **environ}
    done = subprocess.run(['node', runner or script], cwd=ROOT / 'tests/clients/node', env=env, capture_output=True, text=True, timeout=600)
    lines = done.stdout.splitlines()
    last = re.fullmatch(r'(\d+) passed, (\d+) failed', lines[-1]) if lines else None
    for line in lines[:-1] if last else lines:
        print(re.sub(r'^(ok|FAILED) ', rf'\1 {label}: ', line))
    if not last:
        raise Failure(f'{script} ended with status {done.returncode} before its summary: {done.stderr[-800:]}')
    return int(last[1]), int(last[2])
