"""The files in deploy/: Compose's own program merges the overlays into our file and into a Supabase stack's, every variable they set
is one that the server reads, and the server starts with what they set and is reached the way the stack's gateway reaches it."""
import json
import os
import pathlib
import re
import shlex
import subprocess
import urllib.parse
import urllib.request

import yaml

import s3 as s3lib
from compose import environment, mounts, ports, same_service, whole
from harness import ROOT, Server, binary, case, contains, finish, read_env, run_cases, same, temp_dir, true
from pg import Postgres, stack, stack_environment
from rooted import Rooted
from store import BUCKET, KEY, SECRET, store

DEPLOY = ROOT / 'deploy'
STACK = pathlib.Path(__file__).parent / 'stack_files'
OURS = DEPLOY / 'docker-compose.yml'
THEIRS = STACK / 'docker-compose.yml'
OVERLAYS = {'docker-compose.rustfs.yml': ('rustfs', 'rustfs-createbucket'), 'docker-compose.s3.yml': ('minio', 'minio-createbucket')}
# What users have in their `.env`.
USERS = {'POSTGRES_PASSWORD': 'pw', 'JWT_SECRET': 'a-secret-of-more-than-thirty-two-bytes', 'MINIO_ROOT_USER': KEY, 'MINIO_ROOT_PASSWORD': SECRET,
         'GLOBAL_S3_BUCKET': BUCKET, 'STORAGE_TENANT_ID': 'stub', 'REGION': 'stub', 'ANON_KEY': '', 'SERVICE_ROLE_KEY': ''}
# What an overlay may set in a stack's service; all else is the stack's.
SET = {'STORAGE_BACKEND', 'GLOBAL_S3_BUCKET', 'GLOBAL_S3_ENDPOINT', 'GLOBAL_S3_PROTOCOL', 'GLOBAL_S3_FORCE_PATH_STYLE', 'AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY'}


def stack_users(**more):
    """The stack's `.env`, its keys and the keys of the object store."""
    keys = {'JWT_SECRET': 'PGRST_JWT_SECRET', 'ANON_KEY': 'ANON_KEY', 'SERVICE_ROLE_KEY': 'SERVICE_KEY', 'S3_PROTOCOL_ACCESS_KEY_ID': 'S3_PROTOCOL_ACCESS_KEY_ID',
            'S3_PROTOCOL_ACCESS_KEY_SECRET': 'S3_PROTOCOL_ACCESS_KEY_SECRET'}
    theirs = stack_environment(NoDatabase, STACK)
    return {**read_env(STACK / 'env'), 'MINIO_ROOT_USER': KEY, 'MINIO_ROOT_PASSWORD': SECRET, **{name: theirs[source] for name, source in keys.items()}, **more}


class NoDatabase:
    """For what asks where the database is, and nothing of it."""
    url = staticmethod(lambda _: '')


def variables(text):
    """The names in the server's table of variables, first and second column: not those that have no effect, nor what a text mentions."""
    cells = [line.split('|')[1:3] for line in text.splitlines() if line.startswith('| `')]
    return {name for pair in cells for cell in pair for name in re.findall(r'`([A-Z][A-Z0-9_]+)`', cell)}


def known():
    return variables(subprocess.run([binary(), 'config-table'], capture_output=True, text=True, check=True).stdout)


@case
def overlays_merge_into_whole_stacks(_):
    base = whole([OURS], USERS)
    for name, (engine, once) in OVERLAYS.items():
        merged = whole([OURS, DEPLOY / name], USERS)
        same(set(merged['services']), {'storage', 'db', engine, once}, f'services with {name}')
        same(same_service(base['services']['db'], merged['services']['db'], ()), [], f'{name}: what it changes in the database')
        same(same_service(base['services']['storage'], merged['services']['storage'], ('depends_on', 'environment')), [], f'{name}: what it changes in storage')
        check(merged, name, engine, once)


def check(merged, name, engine, once):
    """What holds whatever an overlay was merged into."""
    service = merged['services']['storage']
    for needed, how in ((n, h) for s in merged['services'].values() for n, h in s.get('depends_on', {}).items()):
        true(needed in merged['services'], f'{name}: {needed} is waited for and not there')
        if how['condition'] == 'service_healthy':
            true(merged['services'][needed].get('healthcheck', {}).get('test'), f'{name}: {needed} is never healthy, it has no check')
    same(service['depends_on'][once]['condition'], 'service_completed_successfully', f'{name}: waiting for the bucket')
    same(merged['services'][once]['depends_on'][engine]['condition'], 'service_healthy', f'{name}: waiting for the engine')
    true(merged['services'][once].get('restart', 'no') == 'no', f'{name}: what runs once is started again')
    env = environment(service)
    same({k: env[k] for k in SET}, {'STORAGE_BACKEND': 's3', 'GLOBAL_S3_BUCKET': BUCKET, 'GLOBAL_S3_ENDPOINT': f'http://{engine}:9000', 'GLOBAL_S3_PROTOCOL': 'http',
                                    'GLOBAL_S3_FORCE_PATH_STYLE': 'true', 'AWS_ACCESS_KEY_ID': KEY, 'AWS_SECRET_ACCESS_KEY': SECRET}, name)
    # The engine takes the key that the server shows it.
    same({KEY, SECRET} - set(environment(merged['services'][engine]).values()), set(), f'{name}: the key of {engine}')
    for volume in (source for s in merged['services'].values() for source, _ in mounts(s)):
        true(volume.startswith(('.', '/')) or volume in merged.get('volumes', {}), f'{name}: volume {volume} is not declared')
    # All are in one network, the only one, where services are called by their names.
    for each, content in merged['services'].items():
        true(set(content.get('networks') or {'default': None}) == {'default'} and 'network_mode' not in content, f'{name}: {each} is in a network of its own')


@case
def overlays_fit_the_stacks_own_file(_):
    users = stack_users()
    base = whole([THEIRS], users)
    for name, (engine, once) in OVERLAYS.items():
        merged = whole([THEIRS, DEPLOY / name], users)
        check(merged, name, engine, once)
        same(set(merged['services']) - set(base['services']), {engine, once}, f'{name}: new services')
        same([k for k in base['services'] if k != 'storage' and same_service(base['services'][k], merged['services'][k], ())], [], f'{name}: changed services')
        before, after = base['services']['storage'], merged['services']['storage']
        same(same_service(before, after, ('depends_on', 'environment')), [], f'{name}: what it changes in storage')
        same({k: after['depends_on'][k] for k in before['depends_on']}, before['depends_on'], f'{name}: what storage waited for')
        same(set(after['depends_on']) - set(before['depends_on']), {once}, f'{name}: what else it waits for')
        was, now = environment(before), environment(after)
        same({k for k in was.keys() | now.keys() if was.get(k) != now.get(k)} - SET, set(), f'{name}: changed variables')
        # Nothing that is new takes a port of the machine, a container's name or a folder that the stack has.
        taken = {port for k in base['services'] for port in ports(base['services'][k])}
        same(taken & {port for k in (engine, once) for port in ports(merged['services'][k])}, set(), f'{name}: ports')
        route, = yaml.safe_load((STACK / 'kong.yml').read_text())['services']
        address = urllib.parse.urlsplit(route['url'])
        true(address.hostname in merged['services'], f'{name}: the gateway looks for {address.hostname}')
        contains(' '.join(after['healthcheck']['test']), f'http://{address.hostname}:{address.port}/', f'{name}: health check')
        contains((DEPLOY / 'Dockerfile').read_text(), f'EXPOSE {address.port}\n', 'the port of the image')


STUB = """#!/bin/sh
# Notes its arguments; `alias` fails where it is told to.
for word in "$@"; do printf '%s\\0' "$word"; done >>"$NOTES"; printf '\\n' >>"$NOTES"
[ "$1" != "$FAILS" ]
"""


@case
def the_bucket_is_made_whatever_the_password_holds(_):
    secret, user = """p/a@s#s:w%rd? $HOME `id` 'q' "r" \\ &;!""", 'us/er@x:y'
    folder = temp_dir('rowlock-mc-')
    (folder / 'mc').write_text(STUB)
    (folder / 'mc').chmod(0o755)
    for name, (engine, once) in OVERLAYS.items():
        service = whole([OURS, DEPLOY / name], {**USERS, 'MINIO_ROOT_USER': user, 'MINIO_ROOT_PASSWORD': secret})['services'][once]
        notes = folder / name

        def run(fails=''):
            notes.unlink(missing_ok=True)
            env = {**environment(service), 'PATH': f"{folder}:{os.environ['PATH']}", 'NOTES': str(notes), 'FAILS': fails}
            done = subprocess.run([*service['entrypoint'], *service.get('command', [])], env=env, cwd=folder, capture_output=True, text=True)
            return done.returncode, [line.split('\0')[:-1] for line in notes.read_text().split('\n')[:-1]]

        same(run(), (0, [['alias', 'set', 'store', f'http://{engine}:9000', user, secret], ['mb', '--ignore-existing', f'store/{BUCKET}']]), f'what {once} runs')
        status, ran = run(fails='alias')
        true(status != 0 and len(ran) == 1, f'{once}: a key that is refused is no success')
        true(run(fails='mb')[0] != 0, f'{once}: a bucket that cannot be made is no success')


@case
def every_variable_is_one_that_the_server_reads(_):
    names = known()
    # The table goes on to name what has no effect; and texts mention variables of others.
    for name, read in (('STORAGE_BACKEND', True), ('GLOBAL_S3_BUCKET', True), ('AWS_DEFAULT_REGION', True), ('ENABLE_IMAGE_TRANSFORMATION', True), ('IMGPROXY_REQUEST_TIMEOUT', False), ('POSTGREST_URL', False)):
        same(name in names, read, name)
    same(variables('| `READ` | `ALSO` | `DEFAULT` | not `MENTIONED` |\n\n`LATER`, `NEVER`'), {'READ', 'ALSO'}, 'the table')
    for base in ([OURS], []):
        for name in OVERLAYS:
            files = [*base, DEPLOY / name]
            set_here = environment(whole(files, USERS)['services']['storage']) if base else yaml.safe_load((DEPLOY / name).read_text())['services']['storage']['environment']
            true(set(set_here) >= SET, f'{name} sets {set(set_here)}')
            same(set(set_here) - names, set(), f'unknown variables in {name}')
    examples = sorted((DEPLOY / 'env').glob('*.env'))
    same([path.stem for path in examples], ['aws', 'b2', 'ceph', 'garage', 'r2'], 'examples')
    for path in examples:
        pairs = dict(line.split('=', 1) for line in path.read_text().splitlines() if line and not line.startswith('#'))
        same(set(pairs) - names, set(), f'unknown variables in {path.name}')
        same(pairs['STORAGE_BACKEND'], 's3', path.name)
        # In Compose's `.env` it reaches the server.
        filled = environment(whole([OURS], {**USERS, **pairs})['services']['storage'])
        same({name: filled.get(name) for name in pairs}, pairs, f'docker-compose.yml with {path.name}')
        # A shell and a dotenv reader have to agree.
        for line in path.read_text().splitlines():
            if line and not line.startswith('#'):
                same(shlex.split(line), [line], path.name)


def complaints(server):
    # What this machine allows is not the overlay's business.
    return [line for line in server.log_path.read_text().splitlines() if ('"WARN"' in line or '"ERROR"' in line) and 'ulimit -n' not in line]


@case
def the_server_starts_with_what_an_overlay_sets(_):
    with store() as service, Postgres() as db:
        db.run("create role postgres login superuser password 'postgres'; create role authenticator login noinherit")
        for name in OVERLAYS:
            env = environment(whole([OURS, DEPLOY / name], USERS)['services']['storage'])
            # Only what is a name of that network has to change.
            env.update(DATABASE_URL=db.url('postgres'), GLOBAL_S3_ENDPOINT=service.endpoint)
            with Server(env=env) as server:
                same(complaints(server), [], f'warnings with {name}')


class Kong(Rooted):
    """nginx with what the stack's gateway does on its route: the prefix is cut off and said in headers, with the gateway's own port."""
    route = """location /storage/v1/ {{
            proxy_pass http://127.0.0.1:{behind}/;
            proxy_set_header Host storage:5000;
            proxy_set_header X-Forwarded-Host $host;
            proxy_set_header X-Forwarded-Port {port};
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Prefix /storage/v1;"""


@case
def it_runs_in_the_stack_behind_its_gateway(_):
    with store() as service, Postgres() as db:
        stack(db)
        db.run('grant create on database postgres to supabase_storage_admin')   # images since 2025 have it; older ones cost a line in the log
        for name in OVERLAYS:
            bucket = 'in-' + name.split('.')[1]
            server = Server(env={'STORAGE_BACKEND': 's3'})
            with Kong(server) as host:
                url = f'http://{host}'
                content = whole([THEIRS, DEPLOY / name], stack_users(SUPABASE_PUBLIC_URL=url))['services']['storage']
                env = environment(content)
                same(urllib.parse.urlsplit(env['DATABASE_URL'])[1].rpartition('@')[2], 'db:5432', 'where the database is')
                server.environ.update(env, DATABASE_URL=db.url('supabase_storage_admin'), GLOBAL_S3_ENDPOINT=service.endpoint)
                with server:
                    same(complaints(server), [], f'warnings with {name}')
                    here = [part.replace('storage:5000', f'127.0.0.1:{server.port}') for part in content['healthcheck']['test']]
                    same(subprocess.run(here[1:], capture_output=True).returncode, 0, 'the health check')
                    s3 = s3lib.client(server, endpoint=url + '/storage/v1/s3')
                    s3.create_bucket(Bucket=bucket)
                    s3.put_object(Bucket=bucket, Key='a b/ü', Body=b'by way of the gateway')
                    same(s3lib.body(s3.get_object(Bucket=bucket, Key='a b/ü')), b'by way of the gateway', name)
                    request = urllib.request.Request(f'{url}/storage/v1/object/{bucket}/a%20b/%C3%BC', headers={'Authorization': 'Bearer ' + env['SERVICE_KEY']})
                    with urllib.request.urlopen(request) as answer:
                        same(answer.read(), b'by way of the gateway', f'{name}, REST')
                    same(len(service.keys(f'stub/{bucket}/a b/ü/')), 1, 'keys in the store')


@case
def what_init_writes_is_what_compose_needs(_):
    # The steps of docs/operations.md, "As a container".
    server = Server()
    try:
        subprocess.run([server.binary, 'init'], cwd=server.folder, env={'SERVER_PORT': '5000'}, check=True, capture_output=True)
        values = {**read_env(server.folder / '.env'), 'POSTGRES_PASSWORD': 'postgres'}
        (server.folder / '.env').unlink()
        env = environment(whole([OURS], values)['services']['storage'])
        same(env['STORAGE_PUBLIC_URL'], 'http://localhost:5000', 'the public URL')
        with Postgres() as db:
            db.run("create role postgres login superuser password 'postgres'; create role authenticator login noinherit")
            server.environ.update(env, DATABASE_URL=db.url('postgres'), FILE_STORAGE_BACKEND_PATH=str(server.folder / 'blobs'))
            server.start()
            for name in ('ANON_KEY', 'SERVICE_ROLE_KEY'):
                request = urllib.request.Request(server.url + '/storage/v1/bucket', headers={'Authorization': 'Bearer ' + values[name]})
                with urllib.request.urlopen(request) as answer:
                    same(json.load(answer), [], f'buckets as {name}')
            s3lib.client(server).create_bucket(Bucket='from-compose')
            server.stop()
    finally:
        server.discard()


@case
def the_image_is_built_by_steps_that_work(_):
    steps = [step for step in re.sub(r'\\\n', ' ', (DEPLOY / 'Dockerfile').read_text()).splitlines() if step and not step.startswith('#')]
    words = [step.split(None, 1) for step in steps]
    built = [rest for word, rest in words if word == 'RUN' and rest.startswith('cargo ')]
    same(built, ['cargo build --release --locked --bin rowlock'], 'the step that builds')
    metadata = json.loads(subprocess.run(['cargo', 'metadata', '--no-deps', '--locked', '--format-version=1', '--offline'], cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    package = next(p for p in metadata['packages'] if p['name'] == 'rowlock')
    true(any(t['name'] == 'rowlock' and 'bin' in t['kind'] for t in package['targets']), 'no program `rowlock`')
    contains(next(rest for word, rest in words if word == 'FROM'), f"rust:{package['rust_version']}", 'the compiler')
    contains(' '.join(rest for word, rest in words if word == 'RUN'), ' wget ', 'the packages')
    source, target = next(rest for word, rest in words if word == 'COPY' and '--from=build' in rest).split()[1:]
    same(source, '/src/target/release/rowlock', 'what is copied')
    entry, command = (json.loads(next(rest for word, rest in words if word == kind)) for kind in ('ENTRYPOINT', 'CMD'))
    same((entry, command), ([target], ['serve']), 'what is run')
    # Whatever it copies must not bring secrets or a developer's data along.
    ignored = (ROOT / '.dockerignore').read_text().split()
    for name in ('/.env', '/rowlock-data', '/target', '/.git', '/deploy/.env', '/deploy/volumes', '**/node_modules'):
        true(name in ignored, f'{name} would be part of the image')
    # And the program asks for nothing that Debian's slim image lacks.
    libraries = {line.split()[0].rsplit('/', 1)[-1] for line in subprocess.run(['ldd', binary()], capture_output=True, text=True, check=True).stdout.splitlines()}
    same({name for name in libraries if not re.match(r'(linux-vdso|libgcc_s|libm|libc|ld-linux)[.-]', name)}, set(), 'libraries')
    # The health check, run as the container runs it.
    check = json.loads(next(rest for word, rest in words if word == 'HEALTHCHECK').split('CMD', 1)[1])
    with Server() as server:
        here = [part.replace('127.0.0.1:5000', f'127.0.0.1:{server.port}') for part in check]
        same(subprocess.run(here, capture_output=True).returncode, 0, 'health check of a server that is up')
    true(subprocess.run(here, capture_output=True).returncode != 0, 'a server that is down is healthy')


if __name__ == '__main__':
    finish(*run_cases(None))
