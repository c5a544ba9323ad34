"""Data tools: s3fs and pyarrow write and read parquet, files and folders."""
import fsspec
import pyarrow as pa
import pyarrow.dataset as dataset
import pyarrow.parquet as pq
import s3fs
from pyarrow import fs

from s3 import client, pattern
from harness import case, main, same, true

BUCKET = 'parquet-bucket'
TABLE = pa.table({'id': range(200_000), 'name': [f'name-{i % 977}' for i in range(200_000)], 'value': [i * 0.5 for i in range(200_000)]})


def options(server):
    return dict(key=server.access_key, secret=server.secret_key, client_kwargs={'endpoint_url': server.endpoint, 'region_name': server.region})


@case
def s3fs_is_a_file_system(server):
    client(server).create_bucket(Bucket=BUCKET)
    files = s3fs.S3FileSystem(**options(server))
    data = pattern(12 * 1024 * 1024 + 5, 's3fs')
    with files.open(f'{BUCKET}/dir/large.bin', 'wb', block_size=5 * 1024 * 1024) as out:
        out.write(data)
    true(files.cat(f'{BUCKET}/dir/large.bin') == data, 'bytes differ')
    with files.open(f'{BUCKET}/dir/large.bin', 'rb') as part:
        part.seek(7_000_000)
        same(part.read(100), data[7_000_000:7_000_100], 'a seek')
    files.pipe(f'{BUCKET}/dir/ü +.txt', b'small')
    same(sorted(files.ls(f'{BUCKET}/dir')), [f'{BUCKET}/dir/large.bin', f'{BUCKET}/dir/ü +.txt'], 'ls')
    same(files.info(f'{BUCKET}/dir/large.bin')['size'], len(data), 'size')
    files.cp(f'{BUCKET}/dir/large.bin', f'{BUCKET}/copy.bin')
    files.mv(f'{BUCKET}/copy.bin', f'{BUCKET}/moved.bin')
    same((files.exists(f'{BUCKET}/copy.bin'), files.exists(f'{BUCKET}/moved.bin'), files.isdir(f'{BUCKET}/dir')), (False, True, True), 'exists')
    same(len(files.find(BUCKET)), 3, 'find')
    files.setxattr(f'{BUCKET}/dir/ü +.txt', copy_kwargs=None, colour='red')
    same(files.getxattr(f'{BUCKET}/dir/ü +.txt', 'colour'), 'red', 'attributes')
    files.put_tags(f'{BUCKET}/dir/ü +.txt', {'a': 'b'})
    same(files.get_tags(f'{BUCKET}/dir/ü +.txt'), {'a': 'b'}, 'tags')
    files.rm(f'{BUCKET}/dir', recursive=True)
    same(files.exists(f'{BUCKET}/dir'), False, 'rm -r')


@case
def parquet_through_fsspec(server):
    files = fsspec.filesystem('s3', **options(server))
    pq.write_table(TABLE, f'{BUCKET}/fsspec.parquet', filesystem=files, row_group_size=20_000)
    true(pq.read_table(f'{BUCKET}/fsspec.parquet', filesystem=files).equals(TABLE), 'the table')
    column = pq.read_table(f'{BUCKET}/fsspec.parquet', filesystem=files, columns=['value'], filters=[('id', '<', 10)])
    same(column['value'].to_pylist(), [i * 0.5 for i in range(10)], 'a column of some rows')


@case
def parquet_through_arrows_own_client(server):
    scheme, place = server.endpoint.split('://')
    files = fs.S3FileSystem(access_key=server.access_key, secret_key=server.secret_key, endpoint_override=place, scheme=scheme, region=server.region)
    dataset.write_dataset(TABLE.append_column('part', pa.array([i % 3 for i in range(len(TABLE))])), f'{BUCKET}/set', filesystem=files, format='parquet', partitioning=['part'],
                          existing_data_behavior='delete_matching')
    back = dataset.dataset(f'{BUCKET}/set', filesystem=files, format='parquet', partitioning=['part'])
    same((back.count_rows(), back.count_rows(filter=dataset.field('part') == 1)), (200_000, 66_667), 'rows')
    infos = files.get_file_info(fs.FileSelector(f'{BUCKET}/set', recursive=True))
    # The folders that Arrow marks are shown under their stored names.
    same(len([i for i in infos if i.path.endswith('.parquet')]), 3, 'files')
    with files.open_output_stream(f'{BUCKET}/stream.bin') as out:
        for _ in range(12):
            out.write(b'x' * 1_000_000)
    same(files.get_file_info(f'{BUCKET}/stream.bin').size, 12_000_000, 'a stream in parts')
    files.delete_dir(f'{BUCKET}/set')
    same(files.get_file_info(f'{BUCKET}/set').type, fs.FileType.NotFound, 'the folder is gone')


if __name__ == '__main__':
    main()
