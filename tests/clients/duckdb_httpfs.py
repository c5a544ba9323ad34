"""DuckDB's httpfs: parquet and CSV written, globbed and read in part, with the service key and with a user's session token.

The extension comes as a Python package of DuckDB's own; nothing is downloaded when the tests run.
"""
import pathlib

import duckdb
import duckdb_extension_httpfs

from s3 import client, keys
from harness import Failure, case, main, same, true

BUCKET = 'duck-bucket'
ALICE = '317eadce-631a-4429-a0bb-f19a7a517b4a'
BOB = 'd8c7bce9-cfeb-497b-bd61-e66ce2cbdaa2'
ROWS = 100_000


def connect(server, token=None):
    """A database in memory whose S3 secret points at the server."""
    extension = next(pathlib.Path(duckdb_extension_httpfs.__file__).parent.rglob('httpfs.duckdb_extension'))
    db = duckdb.connect(config={'autoinstall_known_extensions': False, 'autoload_known_extensions': False})
    db.load_extension(str(extension))
    key, secret = (server.keys.get('STORAGE_TENANT_ID') or 'stub', server.keys['ANON_KEY']) if token else (server.access_key, server.secret_key)
    session = f", session_token '{token}'" if token else ''
    scheme, place = server.endpoint.split('://')
    db.execute(f"create secret (type s3, key_id '{key}', secret '{secret}', region '{server.region}', endpoint '{place}', url_style 'path', use_ssl {'true' if scheme == 'https' else 'false'}{session})")
    return db


def one(db, query):
    return db.execute(query).fetchone()


def fails(db, query, part):
    try:
        db.execute(query).fetchall()
    except duckdb.Error as error:
        true(part in str(error), f'{part!r} is not in {error}')
        return
    raise Failure(f'{query} succeeded')


@case
def copy_to_and_read_back(server):
    client(server).create_bucket(Bucket=BUCKET)
    db = connect(server)
    db.execute(f"create table t as select i as id, 'name-' || (i % 977) as name, i * 0.5 as value from range({ROWS}) r(i)")
    db.execute(f"copy t to 's3://{BUCKET}/one.parquet' (format parquet, row_group_size 20000)")
    same(one(db, f"select count(*), sum(id), max(name) from read_parquet('s3://{BUCKET}/one.parquet')"), (ROWS, ROWS * (ROWS - 1) // 2, 'name-99'), 'what was read')
    same(one(db, f"select count(*) from (select * from t except select * from 's3://{BUCKET}/one.parquet')"), (0,), 'rows that differ')
    same(one(db, f"select value from 's3://{BUCKET}/one.parquet' where id = 70001"), (35000.5,), 'a row out of one row group')
    db.execute(f"copy (select * from t limit 10) to 's3://{BUCKET}/ünï cøde.csv' (header)")
    same(one(db, f"select count(*), sum(id) from read_csv('s3://{BUCKET}/ünï cøde.csv')"), (10, 45), 'CSV')


@case
def globs_and_partitions(server):
    db = connect(server)
    db.execute(f"copy (select i as id, i % 3 as part, 'p' || (i % 2) as kind from range(9000) r(i)) to 's3://{BUCKET}/set' (format parquet, partition_by (part, kind))")
    same(len([k for k in keys(client(server).list_objects_v2(Bucket=BUCKET, Prefix='set/part=1/')) if k.endswith('.parquet')]), 2, 'files of a partition')
    same(one(db, f"select count(*), count(distinct part) from read_parquet('s3://{BUCKET}/set/*/*/*.parquet', hive_partitioning = true)"), (9000, 3), 'a glob')
    same(one(db, f"select count(*) from read_parquet('s3://{BUCKET}/set/**', hive_partitioning = true) where part = 1 and kind = 'p0'"), (1500,), 'one partition')
    same(one(db, f"select count(*) from glob('s3://{BUCKET}/set/part=[12]/kind=p[01]/*')"), (4,), 'files')
    s3 = client(server)
    for i in range(30):
        s3.put_object(Bucket=BUCKET, Key=f'many/{i:02}.csv', Body=f'n\n{i}\n'.encode())
    same(one(db, f"select count(*), sum(n) from read_csv('s3://{BUCKET}/many/*.csv')"), (30, 435), 'thirty files')


@case
def large_files_go_by_parts(server):
    db = connect(server)
    db.execute("set s3_uploader_max_filesize = '50GB'")
    db.execute(f"copy (select i, md5(i::varchar) as a, md5((i * 7)::varchar) as b from range(400000) r(i)) to 's3://{BUCKET}/large.parquet' (format parquet, compression uncompressed)")
    head = client(server).head_object(Bucket=BUCKET, Key='large.parquet')
    true('-' in head['ETag'] and head['ContentLength'] > 10_000_000, f'{head["ETag"]}, {head["ContentLength"]} bytes')
    same(one(db, f"select count(*), count(distinct a) from 's3://{BUCKET}/large.parquet'"), (400_000, 400_000), 'rows')
    fails(db, f"select * from 's3://{BUCKET}/none.parquet'", '404')


@case
def a_session_token_reads_and_writes_its_own(server):
    client(server).create_bucket(Bucket='mine')
    server.sql("create policy duck on storage.objects for all to authenticated using (bucket_id = 'mine' and owner_id = (select auth.uid()::text)) "
               "with check (bucket_id = 'mine' and owner_id = (select auth.uid()::text));"
               "create policy ducks on storage.buckets for select to authenticated using (id = 'mine');")
    alice, bob = connect(server, server.token(ALICE)), connect(server, server.token(BOB))
    alice.execute("copy (select i from range(1000) r(i)) to 's3://mine/a/one.parquet'")
    same(one(alice, "select sum(i) from read_parquet('s3://mine/a/*.parquet')"), (499_500,), "the owner's rows")
    fails(bob, "select * from read_parquet('s3://mine/a/one.parquet')", '404')
    fails(bob, "select * from read_parquet('s3://mine/a/*.parquet')", 'No files found')
    fails(bob, "copy (select 1) to 's3://mine/a/one.parquet'", '403')
    fails(alice, f"copy (select 1) to 's3://{BUCKET}/a.parquet'", '403')   # no policy lets her write there
    same(one(alice, "select count(*) from 's3://mine/a/one.parquet'"), (1000,), 'what is there still')


if __name__ == '__main__':
    main()
