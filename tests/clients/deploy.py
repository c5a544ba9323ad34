"""The files in deploy/: overlays merge as Compose merges them, every variable they set is one that the server reads,
the server starts with what they set, and the Dockerfile's steps are those that build and run it."""
import json
import os
import pathlib
import re
import shlex
import subprocess
import urllib.request

import yaml

import s3 as s3lib
from harness import ROOT, Failure, Server, binary, case, contains, finish, read_env, run_cases, same, true
from pg import Postgres
from store import BUCKET, KEY, SECRET, store

DEPLOY = ROOT / 'deploy'
OVERLAYS = {'docker-compose.rustfs.yml': ('rustfs', 'rustfs-createbucket'), 'docker-compose.s3.yml': ('minio', 'minio-createbucket')}
# What users have in their `.env`.
USERS = {'POSTGRES_PASSWORD': 'pw', 'JWT_SECRET': 'a-secret-of-more-than-thirty-two-bytes', 'MINIO_ROOT_USER': KEY, 'MINIO_ROOT_PASSWORD': SECRET,
         'GLOBAL_S3_BUCKET': BUCKET, 'STORAGE_TENANT_ID': 'stub', 'REGION': 'stub', 'ANON_KEY': '', 'SERVICE_ROLE_KEY': ''}


def substituted(text, values):
    """`${NAME}`, `${NAME:-default}`, `${NAME:?message}`, as Compose reads them."""
    def value(match):
        name, kind, rest = match.groups()
        if values.get(name):
            return values[name]
        if kind == ':?':
            raise Failure(f'{name}: {rest}')
        return rest or ''
    return re.sub(r'\$\{([A-Za-z_]\w*)(?:(:-|:\?)([^}]*))?\}', value, text)


def load(name, values=USERS):
    return yaml.safe_load(substituted((DEPLOY / name).read_text(), values))


def merged(base, over):
    """Mappings are merged, lists are joined, all else is replaced: as with several -f."""
    if isinstance(base, dict) and isinstance(over, dict):
        return {**base, **{k: merged(base[k], v) if k in base else v for k, v in over.items()}}
    if isinstance(base, list) and isinstance(over, list):
        return base + over
    return over


def environment(service):
    # Values are put in before the text is parsed here, and after it by Compose: an empty one is a text to it.
    text = {None: '', True: 'true', False: 'false'}
    return {name: text[value] if value is None or value is True or value is False else str(value) for name, value in service['environment'].items()}


def known():
    """Every name in the table of variables that the server prints from their declarations."""
    text = subprocess.run([binary(), 'config-table'], capture_output=True, text=True, check=True).stdout
    return set(re.findall(r'`([A-Z][A-Z0-9_]+)`', text))


@case
def overlays_merge_into_whole_stacks(_):
    base = load('docker-compose.yml')
    for name, (engine, once) in OVERLAYS.items():
        whole = merged(base, load(name))
        same(set(whole['services']), {'storage', 'db', engine, once}, f'services with {name}')
        service = whole['services']['storage']
        for needed in service['depends_on']:
            true(needed in whole['services'], f'{name}: {needed} is waited for and not there')
        same(service['depends_on'][once], {'condition': 'service_completed_successfully'}, f'{name}: waiting for the bucket')
        contains(' '.join(whole['services'][once]['entrypoint']), f'/{BUCKET}', f'{name}: the bucket')
        env = environment(service)
        same((env['STORAGE_BACKEND'], env['GLOBAL_S3_ENDPOINT'], env['GLOBAL_S3_FORCE_PATH_STYLE'], env['AWS_ACCESS_KEY_ID']), ('s3', f'http://{engine}:9000', 'true', KEY), name)
        for volume in (v.split(':')[0] for s in whole['services'].values() for v in s.get('volumes', [])):
            true(volume.startswith('.') or volume in whole.get('volumes', {}), f'{name}: volume {volume} is not declared')


@case
def overlays_fit_the_stacks_own_file(_):
    # What a stack's own file has of the service: the overlay must leave all else of it alone.
    stack = {'services': {'storage': {'container_name': 'supabase-storage', 'image': 'theirs', 'depends_on': {'db': {'condition': 'service_healthy'}, 'rest': {'condition': 'service_started'}},
                                      'environment': {'STORAGE_BACKEND': 'file', 'FILE_STORAGE_BACKEND_PATH': '/var/lib/storage', 'PGRST_JWT_SECRET': 'x'}}, 'db': {}, 'rest': {}}}
    for name in OVERLAYS:
        service = merged(stack, load(name))['services']['storage']
        same((service['image'], service['container_name']), ('theirs', 'supabase-storage'), name)
        same(environment(service)['STORAGE_BACKEND'], 's3', name)
        true({'db', 'rest'} <= set(service['depends_on']), name)


@case
def every_variable_is_one_that_the_server_reads(_):
    names = known()
    for name in ('docker-compose.yml', *OVERLAYS):
        unknown = set(environment(load(name)['services']['storage'])) - names
        same(unknown, set(), f'unknown variables in {name}')
    examples = sorted((DEPLOY / 'env').glob('*.env'))
    same([path.stem for path in examples], ['aws', 'b2', 'ceph', 'garage', 'r2'], 'examples')
    for path in examples:
        pairs = dict(line.split('=', 1) for line in path.read_text().splitlines() if line and not line.startswith('#'))
        same(set(pairs) - names, set(), f'unknown variables in {path.name}')
        same(pairs['STORAGE_BACKEND'], 's3', path.name)
        # In Compose's `.env` it reaches the server.
        filled = environment(load('docker-compose.yml', {**USERS, **pairs})['services']['storage'])
        same({name: filled.get(name) for name in pairs}, pairs, f'docker-compose.yml with {path.name}')
        # A shell and a dotenv reader have to agree.
        for line in path.read_text().splitlines():
            if line and not line.startswith('#'):
                same(shlex.split(line), [line], path.name)


@case
def the_server_starts_with_what_an_overlay_sets(_):
    with store() as service, Postgres() as db:
        db.run("create role postgres login superuser password 'postgres'; create role authenticator login noinherit")
        for name in OVERLAYS:
            env = environment(merged(load('docker-compose.yml'), load(name))['services']['storage'])
            # Only what is a name of that network has to change.
            env.update(DATABASE_URL=db.url('postgres'), GLOBAL_S3_ENDPOINT=service.endpoint)
            with Server(env=env) as server:
                log = server.log_path.read_text()
                # What this machine allows is not the overlay's business.
                odd = [line for line in log.splitlines() if ('"WARN"' in line or '"ERROR"' in line) and 'ulimit -n' not in line]
                same(odd, [], f'warnings with {name}')


@case
def what_init_writes_is_what_compose_needs(_):
    # The steps of docs/operations.md, "As a container".
    server = Server()
    try:
        subprocess.run([server.binary, 'init'], cwd=server.folder, env={'SERVER_PORT': '5000'}, check=True, capture_output=True)
        values = {**read_env(server.folder / '.env'), 'POSTGRES_PASSWORD': 'postgres'}
        (server.folder / '.env').unlink()
        env = environment(load('docker-compose.yml', values)['services']['storage'])
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
