"""@aws-sdk/client-s3 and @aws-sdk/lib-storage in Node, over plain HTTP and over TLS behind a terminator."""
from harness import Failure, Server, finish
from nodejs import run
from tls import Terminator

if __name__ == '__main__':
    passed = failed = 0
    try:
        with Server() as server, Terminator(server.port, server.folder) as tls:
            keys = dict(ACCESS_KEY=server.access_key, SECRET_KEY=server.secret_key)
            for label, endpoint in (('http', server.endpoint), ('tls', tls.endpoint)):
                counts = run('sdk.mjs', label, ENDPOINT=endpoint, BUCKET=f'node-{label}', NODE_EXTRA_CA_CERTS=str(tls.certificate), **keys)
                passed, failed = passed + counts[0], failed + counts[1]
            if failed:
                server.show_log()
    except Failure as failure:
        print(f'FAILED node_sdk: {failure}')
        failed += 1
    finish(passed, failed)
