"""@supabase/supabase-js in Node: with the classic keys, which are tokens, and with opaque ones."""
import s3 as s3lib
from harness import Failure, Server, finish
from nodejs import run
from session_token import ALICE, BOB, POLICIES

# What an installation of its own might have been given: nobody can read a role out of them.
OPAQUE = {'SUPABASE_PUBLISHABLE_KEY': 'sb_publishable_' + 'p' * 32, 'SUPABASE_SECRET_KEY': 'sb_secret_' + 's' * 32}


def prepare(server):
    """The bucket whose files belong to who uploads them, and its policies."""
    s3lib.client(server).create_bucket(Bucket='mine')
    server.sql(POLICIES + "create policy mine_bucket on storage.buckets for select to anon, authenticated using (id = 'mine');")


def key_pairs(server):
    """(label, key of everybody, key of the service role) of both kinds."""
    service = server.keys.get('SERVICE_ROLE_KEY') or server.keys['SERVICE_KEY']
    return (('jwt', server.keys['ANON_KEY'], service),
            ('opaque', OPAQUE['SUPABASE_PUBLISHABLE_KEY'], OPAQUE['SUPABASE_SECRET_KEY']))


if __name__ == '__main__':
    passed = failed = 0
    try:
        with Server(env=OPAQUE) as server:
            prepare(server)
            users = dict(ALICE=server.token(ALICE), BOB=server.token(BOB))
            for label, publishable, secret in key_pairs(server):
                counts = run('supabase.mjs', label, URL_BASE=server.url, RUN=label, PUBLISHABLE=publishable, SECRET=secret, **users)
                passed, failed = passed + counts[0], failed + counts[1]
            if failed:
                server.show_log()
    except Failure as failure:
        print(f'FAILED supabase_js: {failure}')
        failed += 1
    finish(passed, failed)
