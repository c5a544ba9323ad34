"""Resumable uploads by the clients that people use: tus-js-client beside supabase-js in Node, and tuspy; chromium.py has the pages."""
import asyncio
import io

from harness import Failure, Server, case, finish, run_cases, same, true
from nodejs import run
from rest_uploads import call, fine, service
from s3 import pattern
from session_token import ALICE, BOB
from supabase_js import OPAQUE
from tusclient.client import TusClient
from tusclient.exceptions import TusCommunicationError
from tusclient.fingerprint import fingerprint
from tusclient.storage import filestorage

MIB = 1024 * 1024
# Alice may do everything below `own/` of the suite's buckets, and nobody else anything.
POLICIES = f"""
create policy tus_all on storage.objects for all to authenticated
    using (bucket_id like 'tus-%' and (storage.foldername(name))[1] = 'own' and (select auth.uid()) = '{ALICE}')
    with check (bucket_id like 'tus-%' and (storage.foldername(name))[1] = 'own' and (select auth.uid()) = '{ALICE}');
"""


def told(server, label):
    """What tests/clients/node/tus.mjs is told."""
    return dict(RUN=label, PUBLISHABLE=OPAQUE['SUPABASE_PUBLISHABLE_KEY'], SECRET=OPAQUE['SUPABASE_SECRET_KEY'],
                ALICE=server.token(ALICE), BOB=server.token(BOB), FOLDER=str(server.folder))


def client(server, token=None):
    return TusClient(server.url + '/storage/v1/upload/resumable', headers={'authorization': 'Bearer ' + (token or service(server))})


def names(key):
    return dict(bucketName='tus-py', objectName=key, contentType='text/x', cacheControl='60')


def read(server, key):
    return fine(call(server, 'GET', f'/object/tus-py/{key}')).content


@case
def tuspy_uploads_in_chunks(server):
    fine(call(server, 'POST', '/bucket', {'name': 'tus-py'}))
    data = pattern(7 * MIB + 3, 'tuspy')
    for key, size, stream in (('own/whole', len(data), io.BytesIO(data)), ('own/chunks', 2 * MIB, io.BytesIO(data))):
        client(server).uploader(file_stream=stream, chunk_size=size, metadata=names(key)).upload()
        true(read(server, key) == data, f'{key} differs')
    uploader = client(server).uploader(file_stream=io.BytesIO(b''), metadata=names('own/empty'))
    uploader.upload()
    same(read(server, 'own/empty'), b'', 'an empty file')


@case
def tuspy_goes_on_with_what_it_finds(server):
    data, path = pattern(5 * MIB, 'again'), server.folder / 'again.bin'
    path.write_bytes(data)
    storage = filestorage.FileStorage(str(server.folder / 'tuspy.json'))
    known = dict(file_path=str(path), chunk_size=MIB, metadata=names('own/again'), store_url=True, url_storage=storage, fingerprinter=fingerprint.Fingerprint())
    first = client(server, server.token(ALICE)).uploader(**known)
    first.upload(stop_at=2 * MIB)
    second = client(server, server.token(ALICE)).uploader(**known)
    same((second.url, second.offset), (first.url, 2 * MIB), 'where it goes on')
    second.upload()
    storage.close()
    true(read(server, 'own/again') == data, 'the object differs')


@case
def tuspy_asynchronously(server):
    data = pattern(3 * MIB, 'async')

    async def send():
        uploaders = [client(server).async_uploader(file_stream=io.BytesIO(data), chunk_size=MIB, metadata=names(f'own/async{n}')) for n in range(4)]
        await asyncio.gather(*(uploader.upload() for uploader in uploaders))
    asyncio.run(send())
    for number in range(4):
        true(read(server, f'own/async{number}') == data, 'the object differs')


@case
def tuspy_is_refused(server):
    for token, key, status in ((server.token(BOB), 'own/x', 403), (None, 'own/whole', 409), (None, 'a/../b', 400)):
        try:
            client(server, token).uploader(file_stream=io.BytesIO(b'x'), metadata=names(key)).upload()
        except TusCommunicationError as error:
            same(error.status_code, status, key)
        else:
            raise Failure(f'{key} was taken')


if __name__ == '__main__':
    passed = failed = 0
    try:
        with Server(env={**OPAQUE, 'FILE_SIZE_LIMIT': str(50 * MIB)}) as server:
            server.sql(POLICIES)
            for counts in (run('tus.mjs', 'tus-js-client', URL_BASE=server.url, **told(server, 'node')), run_cases(server)):
                passed, failed = passed + counts[0], failed + counts[1]
            if failed:
                server.show_log()
    except Failure as failure:
        print(f'FAILED tus_clients: {failure}')
        failed += 1
    finish(passed, failed)
