"""Row-level security, cell by cell: every operation of REST, of resumable uploads and of S3, asked by everyone under every set of policies.

For each cell the database itself says first what may happen (rls/oracle.py, in a transaction that is rolled back): the answer, and every
row as it has to be afterwards. Then the operation goes over the socket. Status, error code, what the answer tells, all rows, and the bytes
that new rows name: none may differ. At the end the same comparison is shown to see a wrong evaluation.
"""
import collections
import multiprocessing
import re
import sys

import requests

from harness import ROOT, Failure, Server, finish, temp_dir
from pg import Postgres, stack, stack_environment
from rls import rest, s3, tus   # noqa: F401  they register their operations
from rls.operations import OPERATIONS
from rls.oracle import Question, Refused, md5
from rls.world import IMAGE, POLICIES, TARGETS, TEXT, World

SHOWN = 20   # differences that are printed in full
# Each in a process with a server and a database of its own.
SHARES = (('none', 'own folder', 'mime type'), ('owner', 'operation', 'team'))


class Matrix:
    def __init__(self, world):
        self.world = world
        self.cells, self.verdicts = 0, collections.Counter()

    def predict(self, operation, caller, t):
        """What the database says: (status, code, told), and the state that must follow."""
        world = self.world
        world.run('begin')
        try:
            question = Question(world, caller, operation.name)
            told = operation.sql(question, t)
            world.run("select set_config('role', 'none', true)")
            return (operation.status, None, told), world.state() if question.wrote else world.before
        except Refused as refused:
            return (*operation.refusal(refused.code), None), world.before
        finally:
            world.run('rollback')

    def cell(self, operation, caller, t, between=None):
        """Compares one cell; returns the differences. `between` runs after the database was asked, and before the server is."""
        world = self.world
        answer, state = self.predict(operation, caller, t)
        if between:
            between()
        got = operation.ask(caller, t)
        after = world.state()
        differences = []
        if got != answer:
            differences.append(f'answer {got!r}, the database says {answer!r}')
        if after != state:
            differences.append(f'rows {sorted(set(after) - set(state))} in the place of {sorted(set(state) - set(after))}')
        differences += self.wrong_bytes(set(after) - set(world.before))
        if after != world.before:
            world.restore(after)
        self.cells += 1
        self.verdicts['refused' if answer[0] >= 300 else 'answered' if state == world.before else 'done'] += 1
        return differences

    def wrong_bytes(self, rows):
        """Objects among new rows whose bytes are not those that their tag is of."""
        for kind, bucket, key, _ in rows:
            if kind == 'object':
                answer = self.world.service.rest('GET', f'/object/{bucket}/{key}')
                digest = md5(answer.content)
                if answer.headers.get('etag') not in (f'"{digest}"', f'"{md5(bytes.fromhex(digest))}-1"'):
                    yield f'{bucket}/{key} has the bytes {answer.content[:60]!r}'

    def play(self, policies):
        """All cells under one set of policies; returns what differs."""
        self.world.enact(POLICIES[policies])
        names = sorted({operation.name for operation in OPERATIONS})
        wrong = []
        for operation in OPERATIONS:
            self.world.grant(operation.name, names)
            for t in TARGETS:
                # Where nobody's rights depend on the object, one of them says it all; the service role's never do.
                same = policies in ('none', 'operation')
                for caller in () if t is IMAGE and same else self.world.callers:
                    if caller.name not in operation.callers or t is IMAGE and caller.is_service:
                        continue
                    differences = self.cell(operation, caller, t)
                    if differences:
                        wrong.append(f'{operation.label()} of {t.bucket} by {caller.name} under "{policies}": ' + '; '.join(differences))
        return wrong

    def blind(self):
        """Cells of a server that evaluates other policies than the database was asked about: those that were not noticed."""
        named = {operation.label(): operation for operation in OPERATIONS}
        alice = next(caller for caller in self.world.callers if caller.name == 'alice')
        missed = []
        for asked, told in (('own folder', 'none'), ('none', 'own folder')):
            # In turn: an answer, an answer with effect, an effect that the status does not tell, a list.
            for name in ('REST Read', 'REST Upload POST new', 'REST DeleteMany', 'REST ListV2', 'S3 GetObject', 'S3 PutObject new', 'S3 DeleteObjects', 'S3 ListObjectsV2'):
                self.world.enact(POLICIES[asked])
                if not self.cell(named[name], alice, TEXT, between=lambda: self.world.enact(POLICIES[told])):   # noqa: B023
                    missed.append(f'a wrong evaluation is not seen: {name}, the server under "{told}", the database under "{asked}"')
        return missed


def left_out():
    """Names that policies can see and that no cell is about."""
    source = (ROOT / 'crates/rowlock_types/src/operation.rs').read_text()
    names = set(re.findall(r'=> "([a-z0-9_.]+)"', source))
    return sorted(names - {operation.name for operation in OPERATIONS})


def share(policies):
    """A share of the matrix, on a server and a database of its own: (cells, verdicts, differences, wrong evaluations, those unnoticed)."""
    folder = temp_dir()
    with Postgres() as db:
        stack(db)
        # Whatever is replaced or deleted stays until the end, so that rows can be put back.
        environment = stack_environment(db, folder, ROWLOCK_BLOB_GRACE='86400')
        with Server(env=environment, folder=folder) as server:
            matrix = Matrix(World(server, db))
            wrong = [text for label in policies for text in matrix.play(label)]
            cells, verdicts = matrix.cells, dict(matrix.verdicts)
            missed = matrix.blind() if policies == SHARES[0] else []
            if wrong:
                server.show_log(lines=10)
            return cells, verdicts, wrong, matrix.cells - cells, missed


def main():
    with multiprocessing.Pool(len(SHARES)) as pool:
        shares = pool.map(share, SHARES)
    cells = sum(share[0] for share in shares)
    verdicts = sum((collections.Counter(share[1]) for share in shares), collections.Counter())
    wrong = [text for share in shares for text in share[2]]
    tried = sum(share[3] for share in shares)
    missed = [text for share in shares for text in share[4]]
    missed += [f'no cell is about {name}' for name in left_out()]
    for text in wrong[:SHOWN] + missed:
        print(f'FAILED {text:.1500}')
    print(f'{cells} cells compared ({verdicts["refused"]} refused, {verdicts["answered"]} answered, {verdicts["done"]} changed rows), {len(wrong)} differ: '
          f'{len(POLICIES)} policies, {len(OPERATIONS)} requests of {len({o.name for o in OPERATIONS})} operations; {tried} wrong evaluations, {sum(len(share[4]) for share in shares)} unnoticed')
    failed = len(wrong) + len(missed)
    finish(cells + tried - failed, failed)


if __name__ == '__main__':
    try:
        main()
    except (Failure, requests.RequestException) as failure:
        print(f'FAILED rls_matrix: {failure}')
        sys.exit(1)
