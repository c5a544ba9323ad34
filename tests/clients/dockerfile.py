"""Replays a Dockerfile without Docker: each stage in a root of its own, made by debootstrap, its steps run by chroot.

What an image on a registry brings is stood in for by Debian's own packages: `debian:<suite>-slim` is what debootstrap's smallest variant makes, `rust:<version>-slim-<suite>`
the same with a C compiler and this machine's Rust. Layers, user names and limits of containers have no part in it.
"""
import hashlib
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess

from harness import CACHE, Failure, same, true

MIRROR = 'http://deb.debian.org/debian'
PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
# What a Rust image has beyond Debian's smallest; and where this machine's Rust is mounted.
RUST_PACKAGES, RUST = 'ca-certificates gcc libc6-dev', '/usr/local/toolchain'


class Stage:
    def __init__(self, base, name):
        self.base, self.name, self.steps = base, name, []

    def first(self, word):
        return next((rest for each, rest in self.steps if each == word), None)


def parse(text):
    """The stages of a Dockerfile; whatever is none of the instructions replayed here is refused."""
    stages = []
    for line in re.sub(r'\\\n', ' ', text).splitlines():
        if not line.strip() or line.startswith('#'):
            continue
        word, rest = line.split(None, 1)
        if word == 'FROM':
            base, _, name = rest.partition(' AS ')
            stages.append(Stage(base, name or str(len(stages))))
        elif word in ('RUN', 'COPY', 'WORKDIR', 'EXPOSE', 'HEALTHCHECK', 'ENTRYPOINT', 'CMD'):
            stages[-1].steps.append((word, rest))
        else:
            raise Failure(f'Dockerfile: {word} is not replayed')
    return stages


def ignored(text):
    """.dockerignore as arguments of rsync, for those patterns that both read alike."""
    lines = [line for line in text.splitlines() if line and not line.startswith('#')]
    odd = [line for line in lines if not re.fullmatch(r'(/|\*\*/)[\w.-]+(/[\w.-]+)*', line)]
    same(odd, [], 'patterns in .dockerignore')
    return [f'--exclude={line}' for line in lines]


class Root:
    """A file system. Its mounts live in the namespace of each command, so that nothing is left mounted."""

    def __init__(self, folder):
        self.folder, self.workdir, self.mounts, self.variables = pathlib.Path(folder), '/', [], {}

    def argv(self, command):
        """The command as it is run inside; a text is the shell's."""
        inside = ['/bin/sh', '-c', command] if isinstance(command, str) else list(map(str, command))
        binds = [('/dev', 'dev'), ('/etc/resolv.conf', 'etc/resolv.conf'), *self.mounts]
        script = ''.join(f'mount --bind {shlex.quote(str(source))} {shlex.quote(str(self.folder / target))} && ' for source, target in binds)
        script += f'mount -t proc proc {shlex.quote(str(self.folder / "proc"))} && exec chroot {shlex.quote(str(self.folder))} /usr/bin/env -i "$@"'
        variables = [f'{name}={value}' for name, value in {'PATH': PATH, 'HOME': '/root', **self.variables}.items()]
        return ['unshare', '--mount', '--propagation', 'private', '/bin/sh', '-c', script, 'sh', *variables, '/usr/bin/env', f'--chdir={self.workdir}', *inside]

    def run(self, command):
        for _, target in [('', 'etc/resolv.conf'), *self.mounts]:
            there = self.folder / target
            if not there.exists():
                there.parent.mkdir(parents=True, exist_ok=True)
                there.mkdir() if target != 'etc/resolv.conf' else there.touch()
        return subprocess.run(self.argv(command), capture_output=True, text=True)

    def must(self, command):
        done = self.run(command)
        if done.returncode:
            raise Failure(f'{command}: status {done.returncode}: {(done.stdout + done.stderr)[-2500:]}')
        return done.stdout

    def path(self, inside):
        return self.folder / os.path.join(self.workdir, inside).lstrip('/')


class Replay:
    """The stages' roots below a folder. With `layers` the steps before the first COPY come from a run before, as Docker's layers do."""

    def __init__(self, dockerfile, context, folder, layers):
        self.stages = parse(dockerfile.read_text())
        self.context, self.folder, self.layers, self.roots = context, pathlib.Path(folder), layers, {}

    def debian(self, folder, suite):
        tar = CACHE / 'image' / f'{suite}.tar'
        if not tar.exists() or not self.layers:
            fresh = self.folder / 'debootstrap'
            done = subprocess.run(['debootstrap', '--variant=minbase', suite, fresh, MIRROR], capture_output=True, text=True)
            if done.returncode:
                raise Failure(f'debootstrap: {done.stdout[-1500:]}{done.stderr[-500:]}')
            self.keep(fresh, tar)
            shutil.rmtree(fresh)
        unpack(tar, folder)

    @staticmethod
    def keep(folder, tar):
        tar.parent.mkdir(parents=True, exist_ok=True)
        new = tar.with_suffix(f'.{os.getpid()}')
        subprocess.run(['tar', '-C', folder, '--one-file-system', '-cf', new, '.'], check=True)
        new.rename(tar)

    def base(self, stage, root):
        image = re.fullmatch(r'(?:debian:(?P<plain>\w+)-slim)|(?:rust:(?P<version>[\d.]+)-slim-(?P<suite>\w+))', stage.base)
        true(image, f'the image {stage.base} is not known here')
        self.debian(root.folder, image['plain'] or image['suite'])
        if not image['version']:
            return
        root.must(f'apt-get update && apt-get install -y --no-install-recommends {RUST_PACKAGES} && rm -rf /var/lib/apt/lists/*')

    @staticmethod
    def rust(stage, root):
        """This machine's compiler, where the image's would be."""
        found = subprocess.run(['rustc', '--version'], capture_output=True, text=True, check=True).stdout.split()[1]
        wanted = re.match(r'rust:([\d.]+)', stage.base)[1]
        if not found.startswith(wanted):
            print(f'built by Rust {found} in place of {wanted}', flush=True)
        sysroot = subprocess.run(['rustc', '--print', 'sysroot'], capture_output=True, text=True, check=True).stdout.strip()
        registry = pathlib.Path(os.environ.get('CARGO_HOME') or pathlib.Path.home() / '.cargo') / 'registry'
        root.mounts += [(sysroot, RUST.lstrip('/')), (registry, 'usr/local/cargo/registry')]
        root.variables.update(PATH=f'{RUST}/bin:{PATH}', CARGO_HOME='/usr/local/cargo')

    def stage(self, stage, instead=None):
        """Runs a stage's steps; `instead` has files for what would be copied from stages that were not run: {path there: file}."""
        root = self.roots[stage.name] = Root(self.folder / f'stage-{stage.name}')
        root.folder.mkdir()
        steps = list(stage.steps)
        early = []
        while steps and steps[0][0] == 'RUN':
            early.append(steps.pop(0))
        layer = CACHE / 'image' / (hashlib.sha256(json.dumps([stage.base, early]).encode()).hexdigest()[:16] + '.tar')
        if self.layers and layer.exists():
            unpack(layer, root.folder)
        else:
            self.base(stage, root)
            for _, rest in early:
                root.must(rest)
            self.keep(root.folder, layer)
        if stage.base.startswith('rust:'):
            self.rust(stage, root)
        for word, rest in steps:
            if word == 'RUN':
                root.must(rest)
            elif word == 'WORKDIR':
                root.workdir = rest
                root.path('').mkdir(parents=True, exist_ok=True)
            elif word == 'COPY':
                self.copy(root, rest.split(), instead or {})
        return root

    def copy(self, root, words, instead):
        origin = words.pop(0).removeprefix('--from=') if words[0].startswith('--from=') else None
        source, target = words
        if origin is None:
            same((source, target), ('.', '.'), 'what is copied from the context')
            subprocess.run(['rsync', '-a', *ignored((self.context / '.dockerignore').read_text()), f'{self.context}/', root.path('')], check=True)
            return
        found = self.roots[origin].folder / source.lstrip('/') if origin in self.roots else instead[source]
        root.path(target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(found, root.path(target))


def unpack(tar, folder):
    subprocess.run(['tar', '-C', folder, '-xpf', tar], check=True)
