"""What the server says when its data does not fit, and `rowlock scrub` over files and over an S3 service, beside a server that works."""
import json
import os
import shutil
import subprocess
import threading
import time
import urllib.request
import uuid

from harness import Failure, Server, case, contains, finish, read_env, run_cases, same, true, wait_for
from s3 import body, client, pattern, refused
from store import BUCKET, store

OWN = 'upkeep'
CLEAN = 'Nothing is missing and nothing is left over.'
KEYS = ['plain.txt', 'a//b///c', 'tail/', '/', 'ünï/日本', 'x' * 300 + '/y', 'folder/.emptyFolderPlaceholder']


def health(server, role='service_role'):
    token = server.command('token', '--role', role)
    request = urllib.request.Request(server.url + '/health', headers={'authorization': 'Bearer ' + token})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def scrub(server, *arguments, status=0):
    """The findings, as (kind, place, facts), and the text behind them."""
    done = subprocess.run([str(server.binary), 'scrub', *arguments], cwd=server.folder, env=server.environ, capture_output=True, text=True, timeout=120)
    if done.returncode != status:
        raise Failure(f'scrub ended with {done.returncode} instead of {status}: {done.stdout}{done.stderr}')
    lines = done.stdout.splitlines()
    return [tuple(line.split('\t')) for line in lines if '\t' in line], '\n'.join(line for line in lines if '\t' not in line)


def log_since(server, mark):
    return server.log_path.read_text(errors='replace')[mark:]


def log_end(server):
    return len(server.log_path.read_text(errors='replace'))


def fill(server):
    s3 = client(server)
    s3.create_bucket(Bucket=OWN)
    for key in KEYS:
        s3.put_object(Bucket=OWN, Key=key, Body=key.encode())
    upload = s3.create_multipart_upload(Bucket=OWN, Key='begun')['UploadId']
    s3.upload_part(Bucket=OWN, Key='begun', UploadId=upload, PartNumber=1, Body=pattern(6_000_000, 'part'))
    return s3


def busy(server, stop):
    """Writes, replaces and deletes as long as it may."""
    s3, count = client(server), 0
    while not stop.is_set():
        count += 1
        s3.put_object(Bucket=OWN, Key=f'busy/{count % 40}', Body=b'b' * (count % 3000))
        if count % 3 == 0:
            s3.delete_object(Bucket=OWN, Key=f'busy/{(count * 7) % 40}')
        if count % 10 == 0:
            s3.copy_object(Bucket=OWN, Key=f'busy/copy {count % 40}', CopySource={'Bucket': OWN, 'Key': 'plain.txt'})


def scrubbed_while_busy(server):
    stop = threading.Event()
    threads = [threading.Thread(target=busy, args=(server, stop)) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(4):
            found, text = scrub(server)
            same(found, [], 'findings beside a busy server')
            contains(text, CLEAN)
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@case
def a_healthy_system_is_silent(server):
    fill(server)
    scrubbed_while_busy(server)


@case
def what_a_kill_before_the_commit_leaves_is_reported_and_nothing_else(server):
    before = set(server.blobs())
    # A commit that waits: the file has its name by then.
    holder = subprocess.Popen(['psql', '-X', '-q', server.database_url(), '-c', 'begin; lock storage.objects in exclusive mode; select pg_sleep(600)'],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        locks = "select count(*) from pg_locks where relation = 'storage.objects'::regclass and mode = 'ExclusiveLock' and granted"
        wait_for('the lock', lambda: server.sql(locks) == '1')
        writer = threading.Thread(target=lambda: refuse_or_break(server))
        writer.start()
        left = wait_for('the file to get its name', lambda: [f for f in set(server.blobs()) - before if 'killed' in f])
        server.kill()
        writer.join()
    finally:
        holder.kill()
        holder.wait()
    server.start()
    found, _ = scrub(server, '--min-age', '0s')
    same([(kind, place) for kind, place, _ in found], [('blob-without-object', left[0])], 'findings')
    found, text = scrub(server)
    same(found, [], 'what may still get its object')
    contains(text, '1 blobs are too new to be judged')


def refuse_or_break(server):
    try:
        client(server).put_object(Bucket=OWN, Key='killed.txt', Body=b'killed')
    except Exception:  # however the connection ends
        return
    raise Failure('a write was acknowledged that was not committed')


@case
def quarantine_takes_what_is_older_than_a_day(server):
    left = next(f for f in server.blobs() if 'killed' in f)
    path = server.blob_root() / left
    found, _ = scrub(server, '--min-age', '0s', '--quarantine')
    same([kind for kind, *_ in found], ['blob-without-object'], 'a young one')
    true(path.exists(), 'a young file was moved')
    before = set(server.blobs())
    os.utime(path, (time.time() - 90_000,) * 2)
    found, text = scrub(server, '--quarantine')
    same(len(found), 1, 'findings')
    contains(found[0][2], 'moved to stub/__internal/quarantine/')
    contains(text, '1 of them were moved')
    same(set(server.blobs()) - before, {left.replace('stub/', 'stub/__internal/quarantine/', 1)}, 'what is new')
    # What was replaced while the server was busy goes in its own time.
    same({f for f in before - set(server.blobs()) if '/busy/' not in f}, {left}, 'what is gone')
    same(scrub(server)[0], [], 'findings afterwards')
    for key in KEYS:
        same(body(client(server).get_object(Bucket=OWN, Key=key)), key.encode(), key)


@case
def an_object_without_its_bytes_is_an_error(server):
    s3 = client(server)
    s3.put_object(Bucket=OWN, Key='lost', Body=b'lost')
    s3.put_object(Bucket=OWN, Key='cut', Body=b'12345')
    where = {name: next(server.blob_root() / f for f in server.blobs() if f'/{name}/' in f) for name in ('lost', 'cut')}
    where['lost'].rename(server.folder / 'kept')
    whole = where['cut'].read_bytes()
    where['cut'].write_bytes(b'123')
    found, text = scrub(server, status=1)
    same({(kind, place) for kind, place, _ in found}, {('object-without-blob', f'{OWN}/lost'), ('wrong-size', f'{OWN}/cut')}, 'findings')
    contains(text, "1 objects have no blob: they can't be read.")
    where['cut'].write_bytes(whole)
    (server.folder / 'kept').rename(where['lost'])
    same(scrub(server)[0], [], 'findings afterwards')


@case
def scrub_needs_no_server(server):
    server.stop()
    found, text = scrub(server)
    same(found, [], 'findings')
    contains(text, CLEAN)
    running = subprocess.run(['pgrep', '-f', str(server.data)], capture_output=True, text=True).stdout.split()
    same(running, [], 'what was left running')
    server.start()


@case
def another_tenant_is_told_at_the_start_and_on_health(server):
    same(health(server), {'healthy': True}, 'health')
    true('none of the' not in log_since(server, 0), 'a healthy start complains')
    server.stop()
    mark = log_end(server)
    server.environ['TENANT_ID'] = 'lost'
    server.start()
    told = log_since(server, mark)
    sentence = 'TENANT_ID, GLOBAL_S3_BUCKET: the database has objects, and none of the '
    contains(told, sentence, 'log')
    contains(told[told.index(sentence):], 'folder stub/lost')
    true(told.index(sentence) > told.index('Started Successfully'), 'the sentence is buried')
    same(health(server)['healthy'], False, 'health')
    contains(' '.join(health(server)['problems']), sentence, 'health')
    same(health(server, 'anon'), {'healthy': False}, 'health to others')
    found = subprocess.run([str(server.binary), 'scrub', '--quarantine'], cwd=server.folder, env=server.environ, capture_output=True, text=True)
    same(found.returncode, 1, 'status of a scrub')
    contains(found.stderr, 'nothing goes to quarantine', 'scrub')
    server.stop()
    del server.environ['TENANT_ID']
    server.start()
    same(health(server), {'healthy': True}, 'health afterwards')


@case
def one_row_without_its_bytes_is_told_and_the_server_stays_healthy(server):
    row = "insert into storage.objects (id, bucket_id, name, version) select '00000000-0000-0000-0000-000000000001', id, 'seed/row', gen_random_uuid()::text from storage.buckets limit 1"
    sql = ['psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', server.database_url(), '-c']
    subprocess.run([*sql, row], check=True)
    server.stop()
    mark = log_end(server)
    server.start()
    contains(log_since(server, mark), ' objects that were looked for are not in the folder ', 'log')
    same(health(server), {'healthy': True}, 'health')
    # As in the database of a stack, whose triggers refuse a deletion that leaves a blob behind.
    subprocess.run([*sql, "set storage.allow_delete_query = 'true'; delete from storage.objects where name = 'seed/row'"], check=True)


@case
def a_deleted_env_is_told_and_the_objects_are_found(server):
    env = server.folder / '.env'
    tenant, old = read_env(env)['STORAGE_TENANT_ID'], server.access_key
    same(read_env(server.data / 'names')['STORAGE_TENANT_ID'], tenant, 'what the data folder remembers')
    server.stop()
    # As after a tour with a tenant of one's own: only the data folder knows it now.
    for folder in (server.blob_root() / 'stub', server.blob_root() / 'stub' / '.rowlock' / 'long'):
        shutil.move(folder / tenant, folder / 'my-own')
    (server.data / 'names').write_text((server.data / 'names').read_text().replace(f'STORAGE_TENANT_ID={tenant}', 'STORAGE_TENANT_ID=my-own'))
    env.unlink()
    mark = log_end(server)
    server.start()
    contains(log_since(server, mark), 'new keys were made in .env for the older data', 'log')
    same(read_env(env)['STORAGE_TENANT_ID'], 'my-own', 'the tenant in the new .env')
    true(server.access_key != old, 'the keys are the old ones')
    same(body(client(server).get_object(Bucket=OWN, Key='plain.txt')), b'plain.txt', 'an object')
    same(health(server), {'healthy': True}, 'health')
    same(scrub(server)[0], [], 'findings')


@case
def a_size_with_a_unit_is_told_after_the_start(server):
    server.stop()
    mark = log_end(server)
    server.environ['FILE_SIZE_LIMIT'] = '50MB'
    server.start()
    told = log_since(server, mark)
    contains(told, 'FILE_SIZE_LIMIT is "50MB" and means 50 bytes', 'log')
    contains(told, 'write FILE_SIZE_LIMIT=50000000', 'log')
    true(told.index('means 50 bytes') > told.index('Started Successfully'), 'the sentence is buried')
    refused(lambda: client(server).put_object(Bucket=OWN, Key='large', Body=b'1' * 51), 'EntityTooLarge')
    server.stop()
    del server.environ['FILE_SIZE_LIMIT']
    server.start()


@case
def a_token_for_nobody_is_told(server):
    done = subprocess.run([str(server.binary), 'token', '--sub', 'bob'], cwd=server.folder, env=server.environ, capture_output=True, text=True)
    same((done.returncode, done.stdout.count('.')), (0, 2), 'the token')
    contains(done.stderr, 'the sub "bob" is no UUID', 'standard error')
    done = subprocess.run([str(server.binary), 'token', '--sub', str(uuid.uuid4())], cwd=server.folder, env=server.environ, capture_output=True, text=True)
    same(done.stderr, '', 'standard error')


def over_a_service():
    """The same comparison where objects lie in an S3 service."""
    def compared(stage):
        service, server = stage
        fill(server)
        scrubbed_while_busy(server)
        prefix = f"{server.keys['STORAGE_TENANT_ID']}/{OWN}/"
        there = service.client()
        orphan = f'{prefix}left/{uuid.uuid4()}'
        there.put_object(Bucket=BUCKET, Key=orphan, Body=b'left')
        lost = next(key for key in service.keys(prefix) if key.startswith(f'{prefix}plain.txt/'))
        kept = there.get_object(Bucket=BUCKET, Key=lost)['Body'].read()
        there.delete_object(Bucket=BUCKET, Key=lost)
        begun = there.create_multipart_upload(Bucket=BUCKET, Key=f'{prefix}parts/{uuid.uuid4()}')
        found, _ = scrub(server, '--min-age', '0s', status=1)
        want = {('blob-without-object', orphan), ('object-without-blob', f'{OWN}/plain.txt'), ('parts-without-upload', begun['Key'])}
        same({(kind, place) for kind, place, _ in found}, want, 'findings')
        there.put_object(Bucket=BUCKET, Key=lost, Body=kept)
        there.abort_multipart_upload(Bucket=BUCKET, Key=begun['Key'], UploadId=begun['UploadId'])
        there.delete_object(Bucket=BUCKET, Key=orphan)
        same(scrub(server, '--min-age', '0s')[0], [], 'findings afterwards')

    with store() as service, Server(env=service.environment(ROWLOCK_BLOB_GRACE='1')) as server:
        compared.__name__ = 'over_an_s3_service'
        return run_cases((service, server), [compared])


if __name__ == '__main__':
    counts = [0, 0]
    try:
        with Server(env={'STORAGE_BACKEND': 'file', 'ROWLOCK_BLOB_GRACE': '1'}) as running:
            counts = list(run_cases(running))
        counts = [a + b for a, b in zip(counts, over_a_service())]
    except Failure as failure:
        print(f'FAILED: {failure}')
        counts[1] += 1
    finish(*counts)
