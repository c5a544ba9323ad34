"""Compose files as Compose itself reads them: with its own program, which needs no Docker for that."""
import json
import os
import pathlib
import shutil
import subprocess

import yaml

from harness import Failure, temp_dir


def program():
    """(command, major version): Docker's plugin where it is, or else docker-compose."""
    for command in (['docker', 'compose'], ['docker-compose']):
        if not shutil.which(command[0]):
            continue
        done = subprocess.run([*command, 'version', '--short'], capture_output=True, text=True)
        if done.returncode == 0:
            return command, int(done.stdout.strip().lstrip('v').split('.')[0])
    raise Failure('neither `docker compose` nor `docker-compose` is installed')


READ = {}


def whole(files, values):
    """As `merge` does, each combination once."""
    key = (tuple(map(str, files)), tuple(sorted(values.items())))
    if key not in READ:
        READ[key] = merge(files, values)
    return READ[key]


def merge(files, values):
    """What Compose makes of several -f, of which the first one's folder counts, and of `.env`: a mapping.

    `values` are the user's. What it prints has `$` doubled, as a file would need it; here it is single again.
    """
    command, major = program()
    folder = temp_dir('rowlock-compose-')
    try:
        names = []
        for number, path in enumerate(files):
            text = pathlib.Path(path).read_text()
            if major < 2:    # the one thing that the older program does not know
                text = ''.join(line for line in text.splitlines(True) if not line.startswith('name:'))
            (folder / f'{number}.yml').write_text(text)
            names += ['-f', f'{number}.yml']
        # By the environment: what a shell and `.env` make of quotes is another matter.
        done = subprocess.run([*command, *names, 'config'], cwd=folder, capture_output=True, text=True,
                              env={**values, 'PATH': os.environ['PATH'], 'HOME': str(folder)})
        if done.returncode:
            raise Failure(f'compose config: {done.stderr.strip()}')
        return plain(yaml.safe_load(done.stdout), str(folder))
    finally:
        shutil.rmtree(folder)


def plain(value, folder):
    if isinstance(value, dict):
        return {k: plain(v, folder) for k, v in value.items()}
    if isinstance(value, list):
        return [plain(v, folder) for v in value]
    return value.replace('$$', '$').replace(folder, '.') if isinstance(value, str) else value


def environment(service):
    """The variables of a service's process."""
    def text(value):
        return '' if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return {name: text(value) for name, value in service.get('environment', {}).items()}


def mounts(service):
    """(source, target) of each volume, whether written short or long."""
    def pair(volume):
        return (volume.get('source', ''), volume['target']) if isinstance(volume, dict) else tuple(volume.split(':')[:2])
    return [pair(volume) for volume in service.get('volumes', [])]


def ports(service):
    """The ports inside the container that are published."""
    return sorted(int(port['target'] if isinstance(port, dict) else str(port).split('/')[0].split(':')[-1]) for port in service.get('ports', []))


def same_service(before, after, changed):
    """The keys, but for those in `changed`, in which two services differ. The order of volumes counts for nothing."""
    def text(service, key):
        value = service.get(key)
        return json.dumps(sorted(map(str, value)) if key == 'volumes' and value else value, sort_keys=True)
    return sorted(key for key in (set(before) | set(after)) - set(changed) if text(before, key) != text(after, key))
