"""Power loss, which no kill can show: a system-call trace of PUT, UploadPart, Complete and resumable uploads, in the order durability needs (trace.py).

The checker is itself checked: with any one of the needed fsyncs taken out of the trace it must find a fault.
"""
import os
import shutil
import subprocess
import time

from common import Failure, Raw, Server, complete_body, finish, pattern, same, tag, temp_dir, true, wait_for
from tus import Tus
import trace

BUCKET = 'durable-bucket'
PART = 5 * 1024 * 1024


class Strace:
    """Attached to the running server: its database's own calls are not in the trace."""

    def __init__(self, server, out):
        self.server, self.out = server, out

    def __enter__(self):
        if os.geteuid() != 0:
            scope = open('/proc/sys/kernel/yama/ptrace_scope').read().strip() if os.path.exists('/proc/sys/kernel/yama/ptrace_scope') else '0'
            if scope != '0':
                raise Failure('strace may not attach here: run as root, or set kernel.yama.ptrace_scope=0')
        self.process = subprocess.Popen(['strace', '-f', '-yy', '-s', '20000', '-e', 'trace=' + trace.CALLS, '-e', 'signal=none', '-o', self.out, '-p', str(self.server.pid)],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        line = self.process.stderr.readline()
        if 'attached' not in line:
            raise Failure(f'strace: {line.strip()}')
        time.sleep(0.5)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(20)


def requests(server):
    """The writes, one after the other, each on a connection of its own: [(name, key, what is out of order in it)]."""
    done = []

    def ask(name, method, key, query='', data=b'', headers=None, check=trace.faults):
        raw = Raw(server)
        status, got, text = raw(method, f'/{BUCKET}/{key}', query, data, headers)
        raw.close()
        true(status == 200, f'{name}: {status} {text[:300]!r}')
        done.append((name, key, check))
        return got, text

    ask('PUT into new folders', 'PUT', 'new/deep/er/put-one', data=pattern(10_000, 1))
    ask('PUT beside it', 'PUT', 'new/deep/er/put-two', data=pattern(300_000, 2))
    ask('PUT over it', 'PUT', 'new/deep/er/put-two', data=pattern(10_000, 3))
    ask('PUT of nothing', 'PUT', 'nothing', check=None)
    ask('PUT of a long name', 'PUT', 'long/' + 'n' * 300, data=pattern(10_000, 4))
    for key, parts in (('multi/one', [pattern(100_000, 5)]), ('multi/two', [pattern(PART, 6), pattern(PART + 1, 7)])):
        upload = tag(ask('create', 'POST', key, 'uploads=', check=None)[1], 'UploadId')
        tags = []
        for number, data in enumerate(parts, 1):
            tags.append((number, ask(f'UploadPart {number}', 'PUT', key, f'partNumber={number}&uploadId={upload}', data)[0]['ETag']))
        if key == 'multi/two':
            copied = ask('UploadPartCopy', 'PUT', key, f'partNumber=3&uploadId={upload}', headers={'x-amz-copy-source': f'/{BUCKET}/new/deep/er/put-one'})[1]
            tags.append((3, tag(copied, 'ETag').replace('&quot;', '"')))
        ask(f'Complete of {len(tags)}', 'POST', key, f'uploadId={upload}', complete_body(tags))
    ask('CopyObject', 'PUT', 'copied/object', headers={'x-amz-copy-source': f'/{BUCKET}/new/deep/er/put-one'})
    resumable(server, done)
    return done


def resumable(server, done):
    def ask(name, key, wanted, check, method, *rest, **headers):
        tus = Tus(server)
        answer = getattr(tus, method)(*rest, **headers)
        tus.close()
        same(answer.status, wanted, name)
        done.append((name, key, check))
        return answer

    data = pattern(600_000, 8)
    key = 'grown/in/three'
    path = ask('resumable upload', key, 201, None, 'create', BUCKET, key, len(data)).path
    ask('first PATCH', key, 204, trace.growth_faults, 'patch', path, 0, data[:1000])
    ask('second PATCH', key, 204, trace.growth_faults, 'patch', path, 1000, data[1000:400_000])
    ask('last PATCH', key, 204, trace.growth_and_object_faults, 'patch', path, 400_000, data[400_000:])
    key = 'grown/at/once'
    ask('upload at its creation', key, 201, trace.growth_and_object_faults, 'create', BUCKET, key, len(data), data)


def check(events, done, root, port):
    """The faults of each request, in order."""
    ends = trace.answers(events, port)[-len(done):]
    same(len(ends), len(done), 'answers in the trace')
    out, since = [], -1
    for (name, key, wanted), end in zip(done, ends):
        out.append((name, wanted(events, end, since, root, key.rsplit('/', 1)[-1]) if wanted else []))
        since = end.begin
    return out


def without(events, skip):
    return [e for e in events if e is not skip]


def main():
    passed = failed = 0
    folder = temp_dir('rowlock-trace-')
    try:
        with Server() as server:
            Raw(server)('PUT', f'/{BUCKET}')
            root = str(server.blob_root().resolve())
            with Strace(server, folder / 'trace'):
                done = requests(server)
                time.sleep(0.5)
            wait_for('the trace', lambda: (folder / 'trace').stat().st_size, 5)
            with open(folder / 'trace', errors='replace') as lines:
                events = trace.parse(lines)
            port = server.port
        for name, found in check(events, done, root, port):
            print(f'FAILED {name}: ' + '; '.join(found) if found else f'ok {name}')
            passed, failed = passed + (not found), failed + bool(found)
        if not failed:
            passed += sensitivity(events, done, root, port)
    except Failure as failure:
        print(f'FAILED fsync_order: {failure}')
        failed += 1
    if failed and os.environ.get('KEEP'):
        print('trace kept in', folder / 'trace')
    else:
        shutil.rmtree(folder, ignore_errors=True)
    finish(passed, failed)


def sensitivity(events, done, root, port):
    """Takes each fsync out in turn; every request must have fsyncs whose loss is noticed, of files and, where it makes one, of folders."""
    syncs = [e for e in events if e.name in ('fsync', 'fdatasync', 'syncfs') and e.ok and e.first_fd.startswith(root)]
    noticed = {name: 0 for name, _, wanted in done if wanted}
    # What grows on in its folder needs that of the file alone.
    least = {name: 1 if wanted is trace.growth_faults else 2 for name, _, wanted in done}
    spare = []
    for sync in syncs:
        now = [name for name, found in check(without(events, sync), done, root, port) if found]
        for name in now:
            noticed[name] += 1
        if not now:
            spare.append(sync.first_fd)
    for name, count in noticed.items():
        true(count >= least[name], f'{name}: only {count} of its fsyncs are missed when taken out')
    print(f'ok sensitivity: {len(syncs) - len(spare)} of {len(syncs)} fsyncs are each missed when taken out ({len(spare)} more than needed)')
    return 1


if __name__ == '__main__':
    main()
