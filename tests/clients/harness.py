"""Starts real servers for the client suites, and counts their checks.

A suite is a script: functions marked with @case, then `main(...)`. Each function takes one argument, the running Server.
The last line of its output is `N passed, N failed`; the exit status is 1 when anything failed.
"""
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = pathlib.Path(os.environ.get('ROWLOCK_CACHE') or pathlib.Path(os.environ.get('XDG_CACHE_HOME') or pathlib.Path.home() / '.cache') / 'rowlock')
# Only these are handed to the server, so that a developer's own AWS_… or DATABASE_URL never changes a test.
INHERITED = ('PATH', 'HOME', 'USER', 'LANG', 'TMPDIR', 'POSTGRES_BIN_DIR')


class Failure(AssertionError):
    """A check that did not hold."""


def binary():
    named = os.environ.get('ROWLOCK_BIN')
    target = pathlib.Path(os.environ.get('CARGO_TARGET_DIR') or CACHE / 'target')
    path = pathlib.Path(named) if named else target / 'fast' / 'rowlock'
    if not path.is_file():
        sys.exit(f'no server at {path}: build it with `cargo build --profile fast`, or name one in ROWLOCK_BIN')
    return path


CLAIMS = []


def free_port():
    """A port that is free on every address, since some servers listen on all of them; and that stays so, also while its server is away:
    the kernel gives it to no client, and no suite beside this one takes it."""
    least_of_clients = int(pathlib.Path('/proc/sys/net/ipv4/ip_local_port_range').read_text().split()[0])
    while True:
        port, claim = random.SystemRandom().randrange(11_000, max(least_of_clients, 20_000)), socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f'\0rowlock-test-port-{port}')
            with socket.socket() as s:
                s.bind(('', port))
        except OSError:
            claim.close()
            continue
        CLAIMS.append(claim)    # until this process ends
        return port


def temp_dir(prefix='rowlock-'):
    """A folder that the unprivileged database user can enter too."""
    path = pathlib.Path(tempfile.mkdtemp(prefix=prefix))
    path.chmod(0o755)
    return path


def read_env(path):
    """The plain `NAME=value` lines that `rowlock init` writes."""
    pairs = (line.split('=', 1) for line in pathlib.Path(path).read_text().splitlines() if '=' in line and not line.startswith('#'))
    return {k.strip(): v.strip() for k, v in pairs}


def wait_for(what, test, seconds=30.0, every=0.05):
    """Waits until test() is true; says what was waited for when it never is. Returns what test() returned."""
    end = time.monotonic() + seconds
    while True:
        result = test()
        if result:
            return result
        if time.monotonic() > end:
            raise Failure(f'waited {seconds:.0f} s in vain for {what}')
        time.sleep(every)


class Server:
    """One server of its own folder, port and database. `with Server() as s:` starts and stops it.

    A folder that is given becomes the server's own: it is removed with it.
    """

    def __init__(self, env=None, port=None, folder=None):
        self.folder = pathlib.Path(folder) if folder else temp_dir()
        self.port = port or free_port()
        self.data = self.folder / 'data'
        self.log_path = self.folder / 'server.log'
        self.binary = self.folder / 'rowlock'
        if not self.binary.exists():
            shutil.copy2(binary(), self.binary)   # a rebuild during the run must not swap the server under test
        self.process = None
        self.before = None    # run in the server's process before it becomes the server
        self.region = 'stub'
        self.environ = {k: os.environ[k] for k in INHERITED if k in os.environ}
        self.environ.update(SERVER_PORT=str(self.port), ROWLOCK_DATA=str(self.data), RUST_BACKTRACE='1')
        # TEST_BACKEND=s3 runs any suite with its objects in an S3 service instead of files.
        self.store = None
        if os.environ.get('TEST_BACKEND') == 's3' and 'STORAGE_BACKEND' not in (env or {}):
            from store import store
            self.store = store().start()
            self.environ.update(self.store.environment())
        self.environ.update(env or {})

    # ------------------------------------------------------------ life
    def start(self, seconds=60):
        log = open(self.log_path, 'ab')
        self.process = subprocess.Popen([str(self.binary), 'serve'], cwd=self.folder, env=self.environ,
                                        stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, preexec_fn=self.before)
        log.close()
        try:
            wait_for('the server to answer /status', self.answers, seconds)
        except Failure:
            self.show_log()
            self.stop()
            raise
        return self

    def answers(self):
        if self.process.poll() is not None:
            self.show_log()
            raise Failure(f'the server ended with status {self.process.returncode} instead of starting')
        try:
            with urllib.request.urlopen(self.url + '/status', timeout=2) as r:
                return r.status == 200
        except (urllib.error.URLError, OSError):
            return False

    @property
    def pid(self):
        return self.process.pid

    def stop(self, seconds=30):
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise Failure(f'the server did not stop within {seconds} s of SIGTERM') from None
        self.process = None

    def kill(self):
        """As a crash does: no handler runs."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process = None

    def show_log(self, lines=60):
        if self.log_path.exists():
            text = self.log_path.read_text(errors='replace').splitlines()
            print('  server log:', *text[-lines:], sep='\n    ', flush=True)

    def discard(self):
        """Ends what is left and removes the folder (KEEP=1 leaves it)."""
        try:
            self.stop()
        finally:
            if self.store:
                self.store.__exit__()
            if not os.environ.get('KEEP'):
                shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        # Whatever goes wrong in between, such as a closed pipe: no server is left behind.
        try:
            if kind:
                self.show_log()
        finally:
            self.discard()

    # ------------------------------------------------------------ what clients need to know
    @property
    def url(self):
        return f'http://127.0.0.1:{self.port}'

    @property
    def endpoint(self):
        return f'http://localhost:{self.port}/storage/v1/s3'

    @property
    def keys(self):
        """What `.env` holds, beneath what was given by environment."""
        path = self.folder / '.env'
        return {**(read_env(path) if path.exists() else {}), **self.environ}

    @property
    def access_key(self):
        return self.keys['S3_PROTOCOL_ACCESS_KEY_ID']

    @property
    def secret_key(self):
        return self.keys['S3_PROTOCOL_ACCESS_KEY_SECRET']

    def command(self, *args, check=True, **more):
        """Runs one of the server's own subcommands beside it; returns its standard output."""
        done = subprocess.run([str(self.binary), *args], cwd=self.folder, env=self.environ, capture_output=True, text=True, timeout=60, **more)
        if check and done.returncode:
            raise Failure(f'rowlock {" ".join(args)}: status {done.returncode}: {done.stderr.strip()}')
        return done.stdout.strip()

    def token(self, sub, role='authenticated', *more):
        return self.command('token', '--role', role, '--sub', sub, *more)

    def sql(self, text):
        """Runs SQL through psql, as a user does: `psql "$(rowlock db url)"`."""
        done = subprocess.run(['psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-At', self.database_url(), '-c', text],
                              capture_output=True, text=True, timeout=60)
        if done.returncode:
            raise Failure(f'psql: {done.stderr.strip()}')
        return done.stdout.strip()

    def database_url(self):
        return self.environ.get('TEST_ADMIN_URL') or self.command('db', 'url')

    def memory(self):
        """(peak, current) resident memory of the server process in MB."""
        lines = dict(line.split(':', 1) for line in pathlib.Path(f'/proc/{self.pid}/status').read_text().splitlines())
        return tuple(int(lines[k].split()[0]) / 1024 for k in ('VmHWM', 'VmRSS'))

    def blobs(self):
        """Every file under the blob folder that is no temporary name, as paths relative to it."""
        if self.store:
            return self.store.keys()
        root = self.blob_root()
        # Folders may go while this looks: os.walk passes over them, pathlib does not.
        files = (pathlib.Path(folder, name).relative_to(root) for folder, _, names in os.walk(root) for name in names)
        return sorted(str(p) for p in files if '.rowlock' not in p.parts)

    def blob_root(self):
        named = self.keys.get('STORAGE_FILE_BACKEND_PATH') or self.keys.get('FILE_STORAGE_BACKEND_PATH')
        if named:
            return pathlib.Path(named)
        return self.data / 'files'


# ---------------------------------------------------------------- checks

CASES = []


def case(function):
    """Marks a function as a case of the suite; they run in the order written."""
    CASES.append(function)
    return function


def same(got, want, what='value'):
    if got != want:
        raise Failure(f'{what}: got {got!r:.400}, want {want!r:.400}')


def true(value, what):
    if not value:
        raise Failure(what)


def contains(text, part, what='text'):
    if part not in text:
        raise Failure(f'{what} lacks {part!r}: {text!r:.600}')


def run_cases(subject, cases=None, label=''):
    """Runs each case with `subject`; returns (passed, failed). A failing case does not stop the others."""
    passed = failed = 0
    only = os.environ.get('ONLY')
    # Suites import each other's helpers: those cases are not theirs.
    for function in [c for c in CASES if c.__module__ == '__main__'] if cases is None else cases:
        if only and only not in function.__name__:
            continue
        name = label + function.__name__
        begun = time.monotonic()
        try:
            function(subject)
        except Exception as error:  # a suite goes on after any failure
            failed += 1
            print(f'FAILED {name}: {type(error).__name__}: {error}', flush=True)
            if not isinstance(error, Failure):
                traceback.print_exc(limit=-4, file=sys.stdout)
            if subject is not None and isinstance(getattr(subject, 'log_path', None), pathlib.Path):
                subject.show_log(lines=8)
            continue
        passed += 1
        print(f'ok {name} ({time.monotonic() - begun:.1f} s)', flush=True)
    return passed, failed


def finish(passed, failed):
    print(f'{passed} passed, {failed} failed')
    sys.exit(1 if failed or not passed else 0)


def main(env=None, **server):
    """Runs the suite against a fresh server; or, with TEST_ENDPOINT set, against one that runs already."""
    if os.environ.get('TEST_ENDPOINT'):
        finish(*run_cases(Elsewhere()))
    try:
        with Server(env=env, **server) as running:
            counts = run_cases(running)
    except Failure as failure:
        print(f'FAILED server: {failure}')
        finish(0, 1)
    finish(*counts)


class Elsewhere:
    """Another S3 server, to try the suites themselves on: TEST_ENDPOINT, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY."""
    log_path = None

    def __init__(self):
        self.endpoint = os.environ['TEST_ENDPOINT']
        self.access_key, self.secret_key = os.environ['AWS_ACCESS_KEY_ID'], os.environ['AWS_SECRET_ACCESS_KEY']
        self.keys = {}
        self.region = os.environ.get('TEST_REGION', 'us-east-1')
        self.url = self.endpoint
        self.folder = temp_dir()
        from urllib.parse import urlsplit
        self.port = urlsplit(self.endpoint).port
