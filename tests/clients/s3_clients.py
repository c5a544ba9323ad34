"""Users' clients and SDKs with their objects in an S3 service. `./soak garage` runs all suites there are that way; these move objects, and fit into `./test`."""
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys

from harness import finish

SUITES = ('aws_cli', 'restic_tool', 'rclone', 'rclone_crypt', 'node_sdk', 'supabase_js', 'storage3_sdk', 'post_object', 'session_token', 's3_errors', 'boto3_features', 'boto3_model',
          'minio_sdk', 's3cmd_tool', 'parquet', 'duckdb_httpfs')


def run(suite):
    """(passed, failed, output) of a suite of its own process, server and service."""
    done = subprocess.run([sys.executable, pathlib.Path(__file__).parent / f'{suite}.py'], env={**os.environ, 'TEST_BACKEND': 's3'}, capture_output=True, text=True)
    found = re.findall(r'^(\d+) passed, (\d+) failed', done.stdout, re.M)
    passed, failed = map(int, found[-1]) if found else (0, 1)
    if done.returncode and not failed:
        failed = 1
    return passed, failed, done.stdout[-3000:] + done.stderr[-1500:]


def main():
    passed = failed = 0
    # Two at a time: each waits for its own server a good part of the time.
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for suite, (good, bad, output) in zip(SUITES, pool.map(run, SUITES), strict=True):
            if bad:
                print(output)
            print(f'{suite}: {good} passed, {bad} failed', flush=True)
            passed, failed = passed + good, failed + bad
    finish(passed, failed)


if __name__ == '__main__':
    main()
