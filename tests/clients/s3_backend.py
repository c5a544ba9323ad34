"""The server with its objects in an S3 service: the client suites over it, its layout there, and what it says when something is wrong."""
import hashlib
import http.client
import http.server
import json
import os
import re
import subprocess
import sys
import threading
import urllib.parse
import urllib.request

import boto3_access
import boto3_integrity
import boto3_lists
import boto3_multipart
import boto3_objects
from harness import CASES, ROOT, Failure, Server, case, contains, finish, free_port, run_cases, same, true, wait_for
from s3 import body, client, pattern, refused
from store import BUCKET, KEY, REGION, SECRET, store

SUITES = {'objects': boto3_objects, 'lists': boto3_lists, 'multipart': boto3_multipart, 'integrity': boto3_integrity, 'access': boto3_access}
# Suites that start a server themselves: the harness puts the service behind it.
BY_THEMSELVES = ('rest_objects', 'rest_uploads', 'cross_protocol')
OWN = 'backend-bucket'


class Stage:
    """What the cases of this file get."""
    log_path = None

    def __init__(self, service, server):
        self.service, self.server = service, server


def health(server, role='service_role'):
    token = server.command('token', '--role', role)
    request = urllib.request.Request(server.url + '/health', headers={'authorization': 'Bearer ' + token})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def complaints(server):
    """The log's warnings and errors, once there is an error: the server serves while it looks at the service."""
    def lines(*levels):
        return [line for line in server.log_path.read_text().splitlines() if any(level in line for level in levels)]
    wait_for('an error in the log', lambda: lines('ERROR'), 30)
    return lines('ERROR', 'WARN')


def prefix(server):
    return f"{server.keys.get('STORAGE_TENANT_ID') or server.keys.get('TENANT_ID') or 'storage-single-tenant'}/{OWN}/"


@case
def files_lie_under_tenant_bucket_name_and_version(stage):
    s3 = client(stage.server)
    s3.create_bucket(Bucket=OWN)
    s3.put_object(Bucket=OWN, Key='d/ü ?&.txt', Body=b'hello', ContentType='text/x-own', CacheControl='max-age=7')
    version = stage.server.sql(f"select version from storage.objects where bucket_id = '{OWN}'")
    same(stage.service.keys(prefix(stage.server)), [f'{prefix(stage.server)}d/ü ?&.txt/{version}'], 'keys in the service')
    there = stage.service.client().get_object(Bucket=BUCKET, Key=f'{prefix(stage.server)}d/ü ?&.txt/{version}')
    same((there['Body'].read(), there['ContentType'], there['CacheControl']), (b'hello', 'text/x-own', 'max-age=7'), 'the object there')


@case
def what_was_put_there_by_hand_is_served(stage):
    s3, there, data = client(stage.server), stage.service.client(), pattern(300_000, 'hand')
    version = '8556a18b-0258-4c57-a46a-3ab841478cbf'
    tag = '"' + hashlib.md5(data).hexdigest() + '"'
    for name, path, column in (('by/hand.bin', f'by/hand.bin/{version}', f"'{version}'"), ('legacy.bin', 'legacy.bin', 'null')):
        there.put_object(Bucket=BUCKET, Key=prefix(stage.server) + path, Body=data)
        metadata = json.dumps({'eTag': tag, 'size': len(data), 'mimetype': 'application/x-hand', 'cacheControl': 'no-cache', 'contentLength': len(data)})
        stage.server.sql(f"insert into storage.objects (bucket_id, name, version, metadata) values ('{OWN}', '{name}', {column}, '{metadata}')")
        got = s3.get_object(Bucket=OWN, Key=name)
        same((body(got), got['ContentType'], got['ETag']), (data, 'application/x-hand', tag), name)
        s3.delete_object(Bucket=OWN, Key=name)


@case
def large_uploads_keep_their_digest_and_leave_no_parts(stage):
    s3, data = client(stage.server), pattern(40 * 1024 * 1024 + 3, 'large')
    tag = s3.put_object(Bucket=OWN, Key='large', Body=data)['ETag']
    same(tag, '"' + hashlib.md5(data).hexdigest() + '"', 'ETag')
    true(body(s3.get_object(Bucket=OWN, Key='large')) == data, 'bytes differ')
    same(body(s3.get_object(Bucket=OWN, Key='large', Range='bytes=16777210-16777225')), data[16777210:16777226], 'range over a seam')
    s3.copy_object(Bucket=OWN, Key='large copy', CopySource={'Bucket': OWN, 'Key': 'large'})
    same(s3.head_object(Bucket=OWN, Key='large copy')['ETag'], tag, 'ETag of the copy')
    true(body(s3.get_object(Bucket=OWN, Key='large copy')) == data, 'bytes of the copy differ')
    same(stage.service.uploads(), [], 'unfinished uploads')


@case
def deleted_objects_take_their_siblings_along(stage):
    s3, there = client(stage.server), stage.service.client()
    for key in [key['Key'] for key in s3.list_objects_v2(Bucket=OWN).get('Contents', [])]:
        s3.delete_object(Bucket=OWN, Key=key)
    s3.put_object(Bucket=OWN, Key='gone', Body=b'x')
    path = stage.service.keys(prefix(stage.server) + 'gone/')[0]
    for ending in ('.info', '.part'):
        there.put_object(Bucket=BUCKET, Key=path + ending, Body=b'{}')
    s3.delete_object(Bucket=OWN, Key='gone')
    wait_for('the deletions', lambda: not stage.service.keys(prefix(stage.server)), 30)


@case
def nothing_is_left_of_what_was_never_committed(stage):
    same(stage.service.keys(prefix(stage.server)), [], 'keys in the service')
    same(int(stage.server.sql('select count(*) from rowlock.rowlock_pending')), 0, 'begun writes in the ledger')


@case
def a_store_that_is_down_costs_no_more_than_the_answers(stage):
    s3, there = client(stage.server), stage.service
    s3.put_object(Bucket=OWN, Key='stays', Body=b'stays')
    s3.put_object(Bucket=OWN, Key='goes', Body=b'goes')
    same(health(stage.server), {'healthy': True}, 'health')
    durable = hasattr(there, 'program')
    there.stop()
    same(refused(lambda: s3.get_object(Bucket=OWN, Key='stays'))[:2], ('ServiceUnavailable', 503), 'reading')
    same(refused(lambda: s3.put_object(Bucket=OWN, Key='new', Body=b'x'))[:2], ('ServiceUnavailable', 503), 'writing')
    same(s3.head_object(Bucket=OWN, Key='stays')['ContentLength'], 5, 'HEAD needs the row alone')
    s3.delete_object(Bucket=OWN, Key='goes')
    wait_for('health to notice', lambda: not health(stage.server)['healthy'], 20)
    told = health(stage.server)
    contains(' '.join(told['problems']), 'GLOBAL_S3_ENDPOINT: the store cannot be reached', 'health to the service role')
    same(health(stage.server, 'anon'), {'healthy': False}, 'health to others')
    if not durable:
        print('needs Garage: objects from before, and deletions that were put off, after the service is back')
    there.start()
    wait_for('health to come back', lambda: health(stage.server)['healthy'], 30)
    s3.put_object(Bucket=OWN, Key='new', Body=b'y')
    same(body(s3.get_object(Bucket=OWN, Key='new')), b'y', 'after the return')
    if durable:
        same(body(s3.get_object(Bucket=OWN, Key='stays')), b'stays', 'an object from before')
        wait_for('the deletion that was put off', lambda: not there.keys(prefix(stage.server) + 'goes'), 60)


class Refusing(http.server.BaseHTTPRequestHandler):
    """A service that finds every request too old (S3 API reference, "Error responses")."""
    DATE = 'Tue, 24 Nov 2026 08:00:00 GMT'

    def do_GET(self):
        text = b'<Error><Code>RequestTimeTooSkewed</Code><Message>The difference is too large.</Message></Error>'
        self.send_response_only(403)
        for name, value in (('date', self.DATE), ('content-length', len(text))):
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


@case
def what_is_wrong_is_said_in_one_sentence(stage):
    # moto checks no keys; what a checking service says is Garage's part.
    durable = hasattr(stage.service, 'program')
    late = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Refusing)
    threading.Thread(target=late.serve_forever, daemon=True).start()
    no_key = 'AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY: the store needs an access key and its secret'
    wrong = [
        ('GLOBAL_S3_ENDPOINT: the store cannot be reached', {'GLOBAL_S3_ENDPOINT': f'http://127.0.0.1:{free_port()}'}),
        ('GLOBAL_S3_ENDPOINT: what answers at the endpoint is no S3', {'GLOBAL_S3_ENDPOINT': stage.server.url}),
        ('GLOBAL_S3_ENDPOINT: the store cannot be reached: what listens there speaks no TLS', {'GLOBAL_S3_ENDPOINT': stage.service.endpoint.replace('http:', 'https:')}),
        ('GLOBAL_S3_BUCKET: the store has no such bucket', {'GLOBAL_S3_BUCKET': 'no-such-bucket'}),
        (f"STORAGE_BACKEND=s3: this machine's clock is wrong: at the store it is {Refusing.DATE}", {'GLOBAL_S3_ENDPOINT': f'http://127.0.0.1:{late.server_port}'}),
        (no_key, {'AWS_ACCESS_KEY_ID': '', 'AWS_SECRET_ACCESS_KEY': ''}),
        (no_key, {'AWS_SECRET_ACCESS_KEY': ''}),
    ]
    if durable:
        wrong += [
            ('AWS_ACCESS_KEY_ID: ', {'AWS_ACCESS_KEY_ID': KEY[:-1] + '0'}),
            ('AWS_SECRET_ACCESS_KEY: the secret', {'AWS_SECRET_ACCESS_KEY': SECRET[:-1] + '0'}),
            (f'REGION: the store is in region "{REGION}" (', {'REGION': 'elsewhere'}),
        ]
    else:
        print('needs Garage: what is said of a wrong access key', 'needs Garage: what is said of a wrong secret', 'needs Garage: what is said of a wrong region', sep='\n')
    passed, server = [], Server(env=stage.service.environment(AWS_EC2_METADATA_DISABLED='true'))
    settings = server.environ
    try:
        for sentence, change in wrong:
            server.environ = {**settings, **change}
            server.log_path.unlink(missing_ok=True)
            server.start()
            told = complaints(server)
            if not any(sentence in line and 'ERROR' in line for line in told):
                passed.append(f'{change}: no {sentence!r} in {told}')
            else:
                contains(' '.join(health(server).get('problems', [])), sentence, 'health')
                # One sentence, and nothing of a library's inside.
                same([line for line in told if ' { ' in line or 'ProviderError' in line], [], 'dumps')
            true(SECRET[:-1] not in server.log_path.read_text(), 'the log shows the secret')
            server.stop()
    finally:
        server.discard()
        late.shutdown()
    same(passed, [], 'sentences')


@case
def what_dotenv_says_to_awss_own_chain_is_heard(stage):
    settings = {name: value for name, value in stage.service.environment().items() if not name.startswith('AWS_')}
    # What is set to nothing is not set.
    server = Server(env={**settings, 'AWS_PROFILE': ''})
    try:
        (server.folder / 'keys').write_text(f'[default]\naws_access_key_id = no\naws_secret_access_key = no\n[store]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n')
        server.command('init')
        with open(server.folder / '.env', 'a') as file:
            file.write(f"\nAWS_PROFILE=store\nAWS_SHARED_CREDENTIALS_FILE='{server.folder}/keys'\nAWS_EC2_METADATA_DISABLED=true\n")
        server.start()
        same(health(server), {'healthy': True}, 'health')
        s3 = client(server)
        s3.create_bucket(Bucket='ambient')
        s3.put_object(Bucket='ambient', Key='x', Body=b'signed with the profile')
        same(body(s3.get_object(Bucket='ambient', Key='x')), b'signed with the profile', 'the object')
        s3.delete_object(Bucket='ambient', Key='x')
        # The process is the one that was started, with the same arguments.
        same(open(f'/proc/{server.pid}/cmdline').read().split('\0')[:2], [str(server.binary), 'serve'], 'command line')
        same(open(f'/proc/{server.pid}/comm').read().strip(), server.binary.name[:15], 'the name that pgrep finds')
        # Another command that goes to the service finds the key too.
        contains(server.command('scrub'), 'Nothing is missing and nothing is left over', 'scrub')
    finally:
        server.discard()


@case
def what_a_dead_server_had_begun_is_taken_over_and_told(stage):
    with Server(env=stage.service.environment()) as server:
        client(server).create_bucket(Bucket='begun')
        url = urllib.parse.urlsplit(client(server).generate_presigned_url('put_object', Params={'Bucket': 'begun', 'Key': 'half'}))
        upload = http.client.HTTPConnection(url.hostname, url.port)
        upload.putrequest('PUT', f'{url.path}?{url.query}')
        upload.putheader('content-length', str(40 << 20))
        upload.endheaders(bytes(20 << 20))
        wait_for('the note of the write', lambda: server.sql('select count(*) from rowlock.rowlock_pending') == '1')
        server.kill()
        upload.close()
        server.start()
        told = 'took over what dead servers had begun to write, to remove it writes=1'
        wait_for('the log to tell', lambda: told in server.log_path.read_text(), 60)
        same([line for line in server.log_path.read_text().splitlines() if 'half' in line], [], 'lines that name what was written')


def run():
    passed = failed = 0
    for label, suite in {**SUITES, 'own': None}.items():
        # A server of its own for each: the suites expect to find nothing.
        with store() as service, Server(env=service.environment(ROWLOCK_BLOB_GRACE='1')) as server:
            if suite is None:
                counts = run_cases(Stage(service, server), [c for c in CASES if c.__module__ == '__main__'])
            else:
                counts = run_cases(server, [c for c in CASES if c.__module__ == suite.__name__], f'{label}: ')
            if counts[1]:
                server.show_log(20)
        passed, failed = passed + counts[0], failed + counts[1]
    for suite in BY_THEMSELVES:
        done = subprocess.run([sys.executable, ROOT / 'tests' / 'clients' / f'{suite}.py'], env={**os.environ, 'TEST_BACKEND': 's3'}, capture_output=True, text=True)
        found = re.findall(r'^(\d+) passed, (\d+) failed', done.stdout, re.M)
        counts = [int(n) for n in found[-1]] if found else [0, 1]
        if counts[1] or done.returncode:
            print(done.stdout[-3000:], done.stderr[-1500:])
            counts[1] = counts[1] or 1
        print(f'{suite}: {counts[0]} passed, {counts[1]} failed', flush=True)
        passed, failed = passed + counts[0], failed + counts[1]
    return passed, failed


if __name__ == '__main__':
    try:
        counts = run()
    except Failure as failure:
        print(f'FAILED: {failure}')
        counts = (0, 1)
    finish(*counts)
