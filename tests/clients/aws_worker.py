"""The aws CLI without its start: its modules are read once, and each command runs in a process of its own that is forked off.

Reads a JSON list of arguments a line; answers with [status, standard output, standard error] a line.
"""
import contextlib
import io
import json
import os
import sys
import tempfile

from awscli.clidriver import create_clidriver, main


def run(arguments):
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.dup2(out.fileno(), 1)
                os.dup2(err.fileno(), 2)
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                sys.argv = ['aws', *arguments]
                status = main()
            except SystemExit as end:
                status = end.code or 0
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(errors='replace'))
        return [status, *texts]


if __name__ == '__main__':
    # A command that sends nothing brings in what commands need.
    with contextlib.redirect_stdout(io.StringIO()):
        create_clidriver().main(['s3api', 'head-bucket', '--bucket', 'b', '--generate-cli-skeleton', 'output'])
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), flush=True)
