"""A page in Chromium on another origin: @supabase/supabase-js with keys of both kinds, tus-js-client and Uppy, and the AWS SDK with forms and signed URLs."""
import shutil
import sys

from harness import Failure, Server, finish, free_port
from nodejs import run
from session_token import ALICE, BOB
from supabase_js import OPAQUE, key_pairs, prepare
from tls import Terminator
from tus_clients import POLICIES as TUS_POLICIES
from tus_clients import told


def page(suite, label, server, tls, port=0, **told):
    """Counts of one suite in a page; `port` is the page's own where that matters."""
    program = shutil.which('chromium') or shutil.which('chromium-browser') or sys.exit('no Chromium')
    return run(f'{suite}.mjs', label, runner='browser.mjs', SUITE=f'{suite}.mjs', CHROMIUM=program, URL_BASE=server.url,
               TLS_KEY=str(tls.key), TLS_CERTIFICATE=str(tls.certificate), APP_PORT=str(port), VARIABLES=','.join(told), **told)


def everything(server, tls):
    prepare(server)
    users = dict(ALICE=server.token(ALICE), BOB=server.token(BOB))
    for label, publishable, secret in key_pairs(server):
        yield page('supabase', f'supabase-js, {label}', server, tls, RUN=label, PUBLISHABLE=publishable, SECRET=secret, **users)
    server.sql(TUS_POLICIES)
    yield page('tus', 'resumable', server, tls, **told(server, 'page'))
    yield page('browser_s3', 'aws-sdk', server, tls, ACCESS_KEY=server.access_key, SECRET_KEY=server.secret_key,
               ANON_KEY=server.keys['ANON_KEY'], TENANT='stub', **users)
    # The same server, started anew with a list of origins; the page stands on it, then does not.
    port = free_port()
    server.stop()
    server.environ['CORS_ORIGINS'] = f'https://app.example.com,http://app.localhost:{port}'
    server.start()
    key = OPAQUE['SUPABASE_PUBLISHABLE_KEY']
    yield page('browser_origins', 'listed', server, tls, port=port, PUBLISHABLE=key, ALLOWED='yes')
    yield page('browser_origins', 'not listed', server, tls, PUBLISHABLE=key, ALLOWED='')


if __name__ == '__main__':
    passed = failed = 0
    try:
        with Server(env=OPAQUE) as server, Terminator(server.port, server.folder) as tls:
            for counts in everything(server, tls):
                passed, failed = passed + counts[0], failed + counts[1]
            if failed:
                server.show_log()
    except Failure as failure:
        print(f'FAILED chromium: {failure}')
        failed += 1
    finish(passed, failed)
