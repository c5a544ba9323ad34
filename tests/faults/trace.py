"""Reads a system-call trace of the server and says whether each acknowledged write was durable before it was acknowledged.

The order that must be seen: every write to the file · fsync of the file · rename to its place · fsync of the folder it went to and of the
parent of every folder newly made · the commit sent to the database · the database's word that it has committed · the answer.
"""
import re
from dataclasses import dataclass, field

CALLS = ('open,openat,creat,write,pwrite64,writev,pwritev,pwritev2,copy_file_range,sendfile,splice,ftruncate,fallocate,ioctl,fsync,fdatasync,syncfs,'
         'rename,renameat,renameat2,link,linkat,mkdir,mkdirat,sendto,sendmsg,recvfrom,recvmsg,read,readv')
WRITES = {'write', 'pwrite64', 'writev', 'pwritev', 'pwritev2', 'copy_file_range', 'sendfile', 'splice', 'ftruncate', 'fallocate', 'ioctl'}
SENDS, RECEIVES = {'write', 'writev', 'sendto', 'sendmsg'}, {'read', 'readv', 'recvfrom', 'recvmsg'}
LINE = re.compile(r'^(\d+)\s+(?:[\d:.]+\s+)?(.*)$')
CALL = re.compile(r'^(\w+)\((.*)$', re.S)
FD = re.compile(r'(\d+|AT_FDCWD)<((?:[^<>]|<[^<>]*>|->)*?)>(?=[,\s)]|$)')
# Where files begin; what is lost there was never acknowledged.
TEMPORARY = '/.rowlock/tmp/'
# Where blobs of resumable uploads grow.
GROWING = '/.rowlock/growing/'
QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')


@dataclass
class Event:
    name: str
    begin: int
    end: int
    text: str
    ok: bool = True
    fds: list = field(default_factory=list)

    @property
    def first_fd(self):
        return self.fds[0] if self.fds else ''


def parse(lines):
    """Events in the order of their begin; a call that another thread interrupts has its true begin and end."""
    open_calls, events = {}, []
    for number, line in enumerate(lines):
        found = LINE.match(line.rstrip('\n'))
        if not found:
            continue
        pid, rest = found.groups()
        if rest.startswith('<... ') and pid in open_calls:
            begin, head = open_calls.pop(pid)
            rest = head + rest.split(' resumed>', 1)[-1]
        elif rest.endswith('<unfinished ...>'):
            open_calls[pid] = (number, rest[:-len('<unfinished ...>')].rstrip())
            continue
        else:
            begin = number
        call = CALL.match(rest)
        if not call:
            continue
        fds = [path for _, path in FD.findall(QUOTED.sub('""', call[2]))]
        events.append(Event(call[1], begin, number, call[2], not re.search(r'=\s*-1\b', rest[-120:]), fds))
    return sorted(events, key=lambda e: e.begin)


def is_database(fd):
    return fd.startswith('UNIX') or fd.startswith('socket:') or '5432' in fd and fd.startswith('TCP')


def is_client(fd, port):
    return fd.startswith('TCP') and f':{port}->' in fd


def paths_of(event):
    """The full paths that a call names, relative ones joined with the folder they are relative to."""
    folders = [fd for fd in event.fds]
    out = []
    for number, name in enumerate(QUOTED.findall(event.text)):
        name = unescape(name)
        if name.startswith('/') or not folders:
            out.append(name)
        else:
            out.append(folders[min(number, len(folders) - 1)].rstrip('/') + '/' + name)
    return out


def unescape(text):
    return re.sub(r'\\(\d{1,3}|x[0-9a-f]{2}|.)', lambda m: chr(int(m[1], 8)) if m[1][0].isdigit() else m[1], text)


def answers(events, port):
    """The sends that begin an HTTP answer to a client, in order."""
    return [e for e in events if e.name in SENDS and is_client(e.first_fd, port) and 'HTTP/1.1 ' in e.text and e.ok]


def parent(path):
    return path.rstrip('/').rsplit('/', 1)[0] or '/'


def faults(events, answer, since, root, key):
    """What is out of order in the request that ends in `answer` and began after line `since`. `key` is in its commit."""
    span = [e for e in events if since < e.begin <= answer.begin]
    found = []

    # The commit: the last word COMMIT from the database before the answer, on a connection whose words name the key.
    commit = None
    for e in span:
        if e.name in RECEIVES and is_database(e.first_fd) and 'COMMIT\\0' in e.text and e.end < answer.begin:
            sends = [s for s in span if s.name in SENDS and s.first_fd == e.first_fd and s.begin < e.end]
            if any(key in s.text for s in sends):
                commit = (sends[-1], e)
    if commit is None:
        return ['no commit that names the object was acknowledged before the answer']
    sent = commit[0].begin

    moves = [e for e in span if e.name.startswith(('rename', 'link')) and e.ok and len(paths_of(e)) == 2 and paths_of(e)[1].startswith(root)
             and TEMPORARY not in paths_of(e)[1] and GROWING not in paths_of(e)[1]]
    if not moves:
        return ['no file was renamed to its place']
    for move in moves:
        source, place = paths_of(move)
        if move.end >= sent:
            found.append(f'renamed after the commit was sent: {place}')
        names = aliases(events, source, move.begin)
        writes = [e for e in events if e.name in WRITES and e.ok and e.end < answer.begin and written(e, names)]
        syncs = [e for e in events if e.ok and e.end < move.begin and (e.name in ('fsync', 'fdatasync') and e.first_fd in names or e.name == 'syncfs')]
        last = max((w.end for w in writes), default=-1)
        if not writes:
            found.append(f'nothing was seen being written to {source}')
        if not any(s.begin > last for s in syncs):
            found.append(f'not synced after its last write and before its rename: {source}')
        if not folder_synced(events, parent(place), move.end, sent):
            found.append(f'folder not synced between the rename and the commit: {parent(place)}')
    for made in (e for e in span if e.name.startswith('mkdir') and e.ok):
        path = paths_of(made)[0]
        if path.startswith(root) and TEMPORARY not in path + '/' and not folder_synced(events, parent(path), made.end, sent):
            found.append(f'new folder whose parent was not synced before the commit: {path}')
    return found


def growth_faults(events, answer, since, root, _key):
    """What is out of order in a request that lets a file grow: written, synced, recorded, answered; a file that is new is in a synced folder before that."""
    span = [e for e in events if since < e.begin <= answer.begin and e.ok]
    found = []
    records = [e for e in span if e.name in SENDS and is_database(e.first_fd) and 'md5' in e.text]
    if not records:
        return ['nothing was recorded before the answer']
    record = records[-1]
    if not any(e.name in RECEIVES and e.first_fd == record.first_fd and record.end < e.begin and e.end < answer.begin for e in span):
        found.append('answered before the database had said that it was recorded')
    writes = [e for e in span if e.name in WRITES and e.first_fd.startswith(root) and GROWING in e.first_fd]
    if not writes:
        return found + ['nothing was seen being written']
    last = max(writes, key=lambda e: e.end)
    if not any(e.name in ('fsync', 'fdatasync') and e.first_fd == last.first_fd and last.end < e.begin and e.end < record.begin or e.name == 'syncfs' for e in span):
        found.append(f'not synced between its last write and the record: {last.first_fd}')
    for move in (e for e in span if e.name.startswith('rename') and GROWING in paths_of(e)[-1]):
        if not folder_synced(events, parent(paths_of(move)[-1]), move.end, record.begin):
            found.append(f'folder not synced between the rename and the record: {parent(paths_of(move)[-1])}')
    return found


def growth_and_object_faults(events, answer, since, root, key):
    return growth_faults(events, answer, since, root, key) + faults(events, answer, since, root, key)


def written(event, names):
    """Whether a write call went to one of these files: for copies the target is the second descriptor, else the first."""
    fd = event.fds[1] if event.name in ('copy_file_range', 'splice') and len(event.fds) > 1 else event.first_fd
    if event.name == 'ioctl' and 'FICLONE' not in event.text:
        return False
    return fd in names


def aliases(events, path, before):
    """The names under which a file was known until it came to be called `path`."""
    names = {path}
    for e in sorted((e for e in events if e.name.startswith(('rename', 'link')) and e.ok and e.end < before), key=lambda e: -e.end):
        ends = paths_of(e)
        if len(ends) == 2 and ends[1] in names:
            names.add(ends[0])
    return names


def folder_synced(events, folder, after, before):
    return any(e.ok and after < e.begin and e.end < before and (e.name == 'fsync' and e.first_fd == folder or e.name == 'syncfs') for e in events)
