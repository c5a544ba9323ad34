"""What a newcomer reads and types: the banner, the README's tour and proxies, and the steps of docs/, taken out of the pages and run."""
import os
import re
import shutil
import subprocess
import urllib.request

import s3 as s3lib
from harness import ROOT, Failure, Server, case, contains, finish, free_port, read_env, run_cases, same, temp_dir, true, wait_for
from pg import Postgres, stack, stack_environment
from store import BUCKET, KEY, REGION, SECRET, Garage, store

README, OPERATIONS, S3_BACKEND = (ROOT / name for name in ('README.md', 'docs/operations.md', 'docs/s3-backend.md'))
# supabase-js wants a WebSocket at once, which Node has from 22 on; nothing here uses one.
WEBSOCKET = 'globalThis.WebSocket ??= class {}\n'


def as_at_first(**more):
    """A server whose folder is as a newcomer's: all data in `rowlock-data`, unless told otherwise. The pages are about files; TEST_BACKEND is for other suites."""
    server = Server(env={'STORAGE_BACKEND': 'file'}, **more)
    del server.environ['ROWLOCK_DATA'], server.environ['STORAGE_BACKEND']
    server.data = server.folder / 'rowlock-data'
    return server


def section(page, title):
    """The text below a heading, up to the next one of its level or above."""
    text = page.read_text()
    found = re.search(rf'^(#+) {re.escape(title)}$', text, re.MULTILINE)
    true(found, f'{page.name} has no section {title!r}')
    rest = text[found.end():]
    following = re.search(rf'^#{{1,{len(found[1])}}} ', re.sub(r'```.*?```', lambda m: ' ' * len(m[0]), rest, flags=re.DOTALL), re.MULTILINE)
    return rest[:following.start()] if following else rest


def blocks(page, title, language):
    found = re.findall(rf'```{language}\n(.*?)```', section(page, title), re.DOTALL)
    true(found, f'{page.name}, {title!r}: no block in {language}')
    return found


def shell(server, script, folder=None, status=0):
    """As in a user's second shell: `rowlock` on the path, and nothing of ours in the environment. Returns its output."""
    env = {'PATH': f'{server.folder}:{os.environ["PATH"]}', 'HOME': str(server.folder), 'AWS_EC2_METADATA_DISABLED': 'true', 'LANG': 'C.UTF-8'}
    done = subprocess.run(['bash', '-c', 'set -euo pipefail\n' + script], cwd=folder or server.folder, env=env, capture_output=True, text=True, timeout=120)
    if done.returncode != status:
        raise Failure(f'status {done.returncode} of {script!r:.300}: {done.stdout[-600:]!r} {done.stderr[-600:]!r}')
    return done.stdout


def here(server, text):
    """What a page says, on this server's port."""
    return text.replace('localhost:8000', f'localhost:{server.port}').replace('127.0.0.1:8000', f'127.0.0.1:{server.port}')


def keys(server, bucket):
    return sorted(o['Key'] for o in s3lib.client(server).list_objects_v2(Bucket=bucket).get('Contents', []))


@case
def the_banner_names_all_and_its_commands_work(server):
    log = server.log_path.read_text()
    banner = log[log.index('Rowlock '):log.index('Started Successfully')]
    lines = {name: rest.split()[0] for name, rest in re.findall(r'^    (URL|S3 endpoint|Keys)\s+(.*)$', banner, re.MULTILINE)}
    same(lines, {'URL': f'http://localhost:{server.port}', 'S3 endpoint': server.endpoint, 'Keys': '.env'}, 'banner')
    named = set(re.findall(r'\b[A-Z0-9]+(?:_[A-Z0-9]+)+\b', banner.split('Try,')[0]))
    same(named - set(read_env(server.folder / '.env')), set(), 'keys that .env lacks')
    commands = [line.strip() for line in banner.split('Try,')[1].splitlines() if line.startswith('    ')]
    same(len(commands), 2, 'commands')
    # A server that is started in this shell later must not find a key of its own clients.
    before, *after = shell(server, '\n'.join(f'echo "=== $(compgen -v | tr "\\n" " ")"\n{command}' for command in (*commands, ':'))).split('=== ')[1:]
    same([sorted(set(it.split('\n')[0].split()) - set(before.split())) for it in after], [[], []], 'variables that stay in the shell')
    same(keys(server, 'your-storage-bucket'), ['hello.txt'], 'objects')
    s3lib.empty_and_delete(s3lib.client(server), 'your-storage-bucket')


@case
def env_names_the_port(server):
    env = read_env(server.folder / '.env')
    same((env['SUPABASE_PUBLIC_URL'], env['API_EXTERNAL_URL']), (f'http://localhost:{server.port}',) * 2, '.env')
    def warnings():
        return [line for line in server.log_path.read_text().splitlines() if 'names port' in line]
    same(warnings(), [], 'warnings about the right port')
    # The .env of a server that listened elsewhere: the warning has the command that mends it.
    text = (server.folder / '.env').read_text()
    (server.folder / '.env').write_text(text.replace(f':{server.port}\n', ':8000\n'))
    server.stop()
    server.start()
    warning, = warnings()
    shell(server, warning.split('Unless a proxy listens on 8000: ')[1])
    same((server.folder / '.env').read_text(), text, '.env')


@case
def the_tour_works_as_it_stands(server):
    start, *rest = blocks(README, 'A tour of two minutes', 'sh')
    same(start, './run\n', 'the first block')
    shutil.copy(README, server.folder)
    (server.folder / 'node_modules').symlink_to(ROOT / 'tests/clients/node/node_modules')
    (server.folder / 'websocket.mjs').write_text(WEBSOCKET)
    python, = blocks(README, 'With a session token', 'python')
    session, = blocks(README, 'With a session token', 'js')
    rest_api, = blocks(README, 'With supabase-js', 'js')
    for name, text in (('try.py', python), ('try.mjs', session), ('rest.mjs', rest_api)):
        (server.folder / name).write_text(here(server, text))
    marks = ['echo "=== try.py"; python3 try.py', 'echo "=== try.mjs"; node try.mjs 2>/dev/null', 'echo "=== rest.mjs"; node --import ./websocket.mjs rest.mjs']
    out = shell(server, here(server, '\n'.join(rest)) + '\n'.join(marks))
    tour, of_python, of_node, of_rest = re.split(r'=== \S+\n', out)
    contains(tour, 'make_bucket: your-storage-bucket', 'aws s3 mb')
    contains(tour, 'PRE docs/', 'aws s3 ls')
    contains(tour, ' docs/README.md\n', 'rclone ls')
    # What the comments beside the lines promise.
    said = [line.strip() for line in of_python.splitlines()]
    for line, want in zip(said, re.findall(r'\)\s+# (.*)', python), strict=True):
        contains(line, want, 'try.py')
    for want in re.findall(r'\)\s+// (.*)', session):
        same(of_node.strip(), want, 'try.mjs')
    contains(of_rest, "name: 'me.txt'", 'rest.mjs')
    url = of_rest.strip().splitlines()[-1]
    with urllib.request.urlopen(url) as answer:
        same((url, answer.read()), (f'{server.url.replace("127.0.0.1", "localhost")}/storage/v1/object/public/avatars/me.txt', b'hello'), 'the public URL')
    same(keys(server, 'avatars'), ['me.txt'], 'over S3')


@case
def every_command_of_the_list_works(server):
    commands = [line.split('#')[0].strip() for block in blocks(README, 'Two commands', 'sh') for line in block.splitlines() if line.startswith('rowlock ')]
    true(len(commands) >= 6, f'commands: {commands}')
    for command in commands:
        if command not in ('rowlock serve', 'rowlock db shell'):
            shell(server, command)
    same(shell(server, "rowlock db shell -Atc 'select count(*) from storage.buckets where name = $$avatars$$'").strip(), '1', 'rowlock db shell')
    unknown = set(re.findall(r'^  (\w+) ', shell(server, 'rowlock --help; rowlock db --help | sed "s/^  /  db /"'), re.MULTILINE)) - {'db', 'help'}
    listed = {command.split()[1] for command in commands}
    same(unknown - listed, set(), 'commands that the README leaves out')


@case
def the_pages_nginx_passes_on_what_clients_signed(server):
    front, = blocks(README, 'Behind a proxy', 'nginx')
    host, = blocks(OPERATIONS, 'nginx for clients that know only a host', 'nginx')
    folder, ports = temp_dir('rowlock-nginx-'), (free_port(), free_port())
    temporary = ''.join(f'{kind}_temp_path {folder}/{kind};\n' for kind in ('client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'))
    servers = (f'server {{ listen 127.0.0.1:{ports[0]}; {here(server, front)} }}\n'
               + here(server, host).replace('server {', f'server {{ listen 127.0.0.1:{ports[1]};', 1))
    (folder / 'nginx.conf').write_text(f'daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;\n'
                                       f'events {{}}\nhttp {{ access_log off; {temporary} {servers} }}\n')
    process = subprocess.Popen([shutil.which('nginx') or '/usr/sbin/nginx', '-e', 'stderr', '-c', folder / 'nginx.conf'])
    try:
        def answers():
            try:
                return urllib.request.urlopen(f'http://127.0.0.1:{ports[0]}/storage/v1/status').status == 200
            except OSError:
                return False
        wait_for('nginx with the README\'s lines to pass on /storage/v1/status', answers)
        key = 'a b/+%2F ünï.txt'
        for endpoint in (f'http://localhost:{ports[0]}/storage/v1/s3', f'http://localhost:{ports[1]}'):
            through = s3lib.client(server, endpoint=endpoint)
            through.put_object(Bucket='avatars', Key=key, Body=b'x' * 3_000_000)
            same(len(through.get_object(Bucket='avatars', Key=key)['Body'].read()), 3_000_000, endpoint)
            through.delete_object(Bucket='avatars', Key=key)
        # The REST API goes the same way as S3.
        with urllib.request.urlopen(f'http://localhost:{ports[0]}/storage/v1/object/public/avatars/me.txt') as answer:
            same(answer.read(), b'hello', 'over REST')
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


@case
def a_killed_servers_database_is_stopped_by_hand(server):
    command, = re.findall(r'by hand: `([^`]+)`', section(OPERATIONS, 'When it is killed'))
    server.kill()
    note = server.data / 'postgres/data/postmaster.pid'
    os.kill(int(note.read_text().splitlines()[0]), 0)
    shell(server, command)
    wait_for('PostgreSQL to end', lambda: not note.exists())
    server.start()


@case
def a_copy_at_rest_is_the_server_in_another_place(server):
    stop, copy, start = blocks(OPERATIONS, 'Backup and restore', 'sh')[0].splitlines()
    contains(stop, 'systemctl stop', 'the first line')
    contains(start, 'systemctl start', 'the last line')
    before = keys(server, 'avatars')
    server.stop()
    shell(server, copy.replace('/srv/rowlock', str(server.folder)))
    second = as_at_first(port=server.port)
    try:
        shell(server, f'tar -C {second.folder} -xpf rowlock.tar')
        second.start()
        same(keys(second, 'avatars'), before, 'objects')
        contains(second.command('scrub'), 'Nothing is missing', 'scrub')
    finally:
        second.discard()
    server.start()


@case
def a_dump_while_it_runs_is_restored(_):
    dump, copy = blocks(OPERATIONS, 'Backup and restore', 'sh')[1].splitlines()
    folder = temp_dir()
    with Postgres() as db:
        stack(db)
        env = stack_environment(db, folder, ROWLOCK_BLOB_GRACE='2h')
        with Server(env=env, folder=folder) as server:
            s3lib.client(server).create_bucket(Bucket='kept')
            s3lib.client(server).put_object(Bucket='kept', Key='a.txt', Body=b'first')
            url = f"export DATABASE_URL='{db.url('postgres')}'\n"
            shell(server, url + dump)
            # Between the two: what the dump names is replaced, and its bytes stay.
            s3lib.client(server).put_object(Bucket='kept', Key='a.txt', Body=b'second')
            shell(server, copy.replace('/var/lib/storage', env['FILE_STORAGE_BACKEND_PATH']).replace('backup:/storage', str(folder / 'copy')))
            server.stop()
            db.run('create database restored')
            shell(server, f"pg_restore --dbname='{db.url(database='restored')}' storage.dump")
            server.environ.update(DATABASE_URL=db.url('supabase_storage_admin', 'restored'), FILE_STORAGE_BACKEND_PATH=str(folder / 'copy'))
            server.start()
            same(s3lib.body(s3lib.client(server).get_object(Bucket='kept', Key='a.txt')), b'first', 'the object of the dump')
            contains(server.command('scrub'), 'Nothing is missing', 'scrub')


@case
def from_alone_to_a_database_of_ones_own(_):
    dump, settings, rows = blocks(OPERATIONS, 'From alone to a database of your own', 'sh')
    server = as_at_first()
    with Postgres() as db:
        stack(db)
        try:
            server.start()
            s3lib.client(server).create_bucket(Bucket='moves')
            for key in ('a.txt', 'folder/ünï ~.txt'):
                s3lib.client(server).put_object(Bucket='moves', Key=key, Body=key.encode(), Metadata={'of': 'mine'}, ContentType='text/x-own')
            before = [s3lib.client(server).head_object(Bucket='moves', Key=key) for key in keys(server, 'moves')]
            shell(server, dump)
            server.stop()
            shell(server, settings.replace('postgres://…', db.url('supabase_storage_admin')))
            server.environ['SERVER_HOST'] = '127.0.0.1'
            server.start()
            contains(shell(server, rows), 'Nothing is missing and nothing is left over', 'scrub')
            facts = [[(h['ETag'], h['ContentLength'], h['ContentType'], h['Metadata']) for h in heads]
                     for heads in (before, [s3lib.client(server).head_object(Bucket='moves', Key=key) for key in keys(server, 'moves')])]
            same(facts[1], facts[0], 'objects')
            same(s3lib.body(s3lib.client(server).get_object(Bucket='moves', Key='a.txt')), b'a.txt', 'bytes')
            s3lib.client(server).put_object(Bucket='moves', Key='a.txt', Body=b'new')
            same(db.run('select count(*) from storage.objects'), [(2,)], 'rows')
        finally:
            server.discard()


@case
def the_way_back_by_command(_):
    folder = temp_dir()
    with Postgres() as db:
        stack(db)
        env = stack_environment(db, folder, ROWLOCK_BLOB_GRACE='1h')
        with Server(env=env, folder=folder) as server:
            def leave(*more):
                done = subprocess.run([server.binary, 'db', 'leave', *more], cwd=folder, env=server.environ, capture_output=True, text=True)
                return done.returncode, done.stdout, done.stderr
            ours = "select count(*) from pg_class where relname like 'rowlock%'"
            s3lib.client(server).create_bucket(Bucket='back')
            for body in (b'one', b'two'):
                s3lib.client(server).put_object(Bucket='back', Key='a.txt', Body=body)
            same(leave()[:2], (0, blocks(OPERATIONS, 'Back to the reference', 'sql')[-1]), 'what is printed')
            status, _, said = leave('--yes')
            contains(said, 'is still connected', 'while the server runs')
            server.stop()
            status, _, said = leave('--yes')
            same(status, 1, 'status')
            contains(said, '1 rows of rowlock_outbox', 'with a deletion to come')
            true(db.run(ours) != [(0,)], 'refused, and yet gone')
            # The blob that was replaced goes as soon as it is due.
            db.run("update storage.rowlock_outbox set due_at = now()")
            server.start()
            wait_for('the deletion', lambda: db.run('select count(*) from storage.rowlock_outbox') == [(0,)])
            server.stop()
            status, out, said = leave('--yes')
            same((status, said), (0, ''), 'leave')
            contains(out, 'gone from the database', 'leave')
            same(db.run(ours), [(0,)], 'our tables')
            status, _, said = leave('--yes')
            contains(said, 'no table of Rowlock', 'once more')
            server.start()
            same(s3lib.body(s3lib.client(server).get_object(Bucket='back', Key='a.txt')), b'two', 'the object, for whoever serves it next')


@case
def an_s3_service_is_set_up_as_the_page_says(_):
    commands = [line.strip().split('#')[0].strip() for line in section(S3_BACKEND, 'Setting it up').splitlines() if line.startswith('    ')]
    same(commands[:3], ['rowlock init', 'cat garage.env >> .env', 'rowlock serve'], 'commands')
    with store() as service:
        server = as_at_first()
        try:
            values = {'GLOBAL_S3_BUCKET': BUCKET, 'GLOBAL_S3_ENDPOINT': service.endpoint, 'REGION': REGION, 'AWS_ACCESS_KEY_ID': KEY, 'AWS_SECRET_ACCESS_KEY': SECRET}
            example = (ROOT / 'deploy/env/garage.env').read_text()
            for name, value in values.items():
                example, changed = re.subn(rf'^{name}=.*$', f'{name}={value}', example, flags=re.MULTILINE)
                same(changed, 1, f'{name} in garage.env')
            (server.folder / 'garage.env').write_text(example)
            shell(server, '\n'.join(commands[:2]))
            server.start()
            s3lib.client(server).create_bucket(Bucket='over-there')
            s3lib.client(server).put_object(Bucket='over-there', Key='a.txt', Body=b'there')
            same([key.split('/')[:3] for key in service.keys()], [['stub', 'over-there', 'a.txt']], 'in the service')
            true(not any(server.data.glob('files/stub/stub/*')), 'something lies in files')
        finally:
            server.discard()


@case
def an_object_reaches_garage_as_the_page_says(_):
    garages, ours, clients = blocks(S3_BACKEND, 'An example with Garage', 'sh')
    if not Garage.program.exists():
        print('needs Garage: the worked example of docs/s3-backend.md')
        return
    server, ports = as_at_first(), {'3900': str(free_port()), '3901': str(free_port())}

    def lines(block):
        return re.sub('390[01]', lambda port: ports[port[0]], here(server, block)).strip().splitlines()
    *config, serve = lines(garages)
    same(serve, 'garage -c garage.toml server --single-node', 'the last line')
    shell(server, '\n'.join(config))
    service = subprocess.Popen([Garage.program, *serve.split()[1:]], cwd=server.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for('Garage', lambda: not subprocess.run([Garage.program, '-c', 'garage.toml', 'health'], cwd=server.folder, capture_output=True).returncode)
        *prepared, serve = lines(ours)
        same(serve, 'rowlock serve', 'the last line')
        shell(server, '\n'.join(prepared))
        server.start()
        told = shell(server, '\n'.join(lines(clients)))
        contains(told, ' hello.txt\n', 'aws s3 ls')
        true(re.search(r'^Objects: +1$', told, re.MULTILINE), f'in Garage: {told[-400:]}')
    finally:
        server.discard()
        service.kill()
        service.wait()


if __name__ == '__main__':
    counts = (0, 1)
    try:
        with as_at_first() as running:
            counts = run_cases(running)
    except Failure as failure:
        print(f'FAILED server: {failure}')
    finish(*counts)
