"""The guide's session-token example: policies written as users write them, through `psql "$(rowlock db url)"`."""
import s3 as s3lib
from harness import Failure, Server, finish
from nodejs import run

ALICE = '317eadce-631a-4429-a0bb-f19a7a517b4a'
BOB = 'd8c7bce9-cfeb-497b-bd61-e66ce2cbdaa2'
POLICIES = """
create policy mine_select on storage.objects for select to authenticated using (bucket_id = 'mine' and owner_id = (select auth.uid()::text));
create policy mine_insert on storage.objects for insert to authenticated with check (bucket_id = 'mine' and owner_id = (select auth.uid()::text));
create policy mine_update on storage.objects for update to authenticated using (bucket_id = 'mine' and owner_id = (select auth.uid()::text));
create policy mine_delete on storage.objects for delete to authenticated using (bucket_id = 'mine' and owner_id = (select auth.uid()::text));
"""
# Buckets have row-level security of their own; who may not see one is told that there is none.
BUCKETS = "create policy seen on storage.buckets for select to anon, authenticated using (true);"


def play(server, label):
    """Counts of the example against a running server whose administrator URL is known."""
    s3 = s3lib.client(server)
    for bucket in ('mine', 'closed'):
        s3.create_bucket(Bucket=bucket)
    server.sql(POLICIES + BUCKETS)
    return run('session.mjs', label, ENDPOINT=server.endpoint, ANON_KEY=server.keys['ANON_KEY'],
               SERVICE_KEY=server.keys.get('SERVICE_ROLE_KEY') or server.keys['SERVICE_KEY'],
               ACCESS_KEY=server.access_key, SECRET_KEY=server.secret_key, ALICE=server.token(ALICE), BOB=server.token(BOB),
               TENANT=server.keys.get('TENANT_ID') or server.keys.get('STORAGE_TENANT_ID') or 'stub')


if __name__ == '__main__':
    passed = failed = 0
    try:
        with Server() as server:
            passed, failed = play(server, 'session token')
            if failed:
                server.show_log()
    except Failure as failure:
        print(f'FAILED session_token: {failure}')
        failed += 1
    finish(passed, failed)
