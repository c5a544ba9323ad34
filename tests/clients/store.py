"""An S3 service for the server to keep its objects in: Garage where it is installed (`./soak garage` does that), moto's server otherwise."""
import os
import shutil
import subprocess
import sys

from botocore.config import Config

from harness import CACHE, Failure, free_port, temp_dir, wait_for
from s3 import make

KEY, SECRET = 'GK0123456789abcdef01234567', '0123456789abcdef' * 4
BUCKET, REGION = 'stub', 'stub'


class Store:
    """`with store() as it:` a service with one empty bucket; `it.environment()` makes a server use it."""
    process = None
    hosts_by_name = False    # whether `<bucket>.s3.localhost` is that bucket

    def __init__(self, port=None):
        self.folder, self.port = temp_dir('rowlock-store-'), port or free_port()

    @property
    def endpoint(self):
        return f'http://127.0.0.1:{self.port}'

    def environment(self, **more):
        return {'STORAGE_BACKEND': 's3', 'GLOBAL_S3_ENDPOINT': self.endpoint, 'GLOBAL_S3_PROTOCOL': 'http', 'GLOBAL_S3_FORCE_PATH_STYLE': 'true',
                'GLOBAL_S3_BUCKET': BUCKET, 'AWS_ACCESS_KEY_ID': KEY, 'AWS_SECRET_ACCESS_KEY': SECRET, 'REGION': REGION, **more}

    def client(self):
        """The service itself, past the server."""
        return make(endpoint_url=self.endpoint, region_name=REGION, aws_access_key_id=KEY, aws_secret_access_key=SECRET,
                    config=Config(s3={'addressing_style': 'path'}, retries={'max_attempts': 2}))

    def keys(self, prefix=''):
        pages = self.client().get_paginator('list_objects_v2').paginate(Bucket=BUCKET, Prefix=prefix)
        return sorted(o['Key'] for page in pages for o in page.get('Contents', []))

    def uploads(self):
        pages = self.client().get_paginator('list_multipart_uploads').paginate(Bucket=BUCKET)
        return sorted((u['Key'], u['UploadId']) for page in pages for u in page.get('Uploads') or [])

    def start(self):
        with open(self.folder / 'log', 'ab') as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, cwd=self.folder, env={**self.variables(), 'PATH': os.environ['PATH']})
        try:
            wait_for('the S3 service', self.answers, 60)
        except Failure:
            print((self.folder / 'log').read_text(errors='replace')[-1500:])
            self.stop()
            raise
        return self

    def answers(self):
        if self.process.poll() is not None:
            raise Failure('the S3 service ended: ' + (self.folder / 'log').read_text(errors='replace')[-800:])
        try:
            self.prepare()
            return True
        except Exception:  # whatever the client says while nobody listens yet
            return False

    def stop(self):
        """As a crash does; what it has stored durably is there at the next start."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
        if not os.environ.get('KEEP'):
            shutil.rmtree(self.folder, ignore_errors=True)


class Garage(Store):
    program = CACHE / 'bin' / 'garage'
    hosts_by_name = True

    def command(self):
        config = self.folder / 'garage.toml'
        if not config.exists():
            config.write_text(f"""metadata_dir = '{self.folder}/meta'
data_dir = '{self.folder}/data'
db_engine = 'lmdb'
metadata_fsync = false
replication_factor = 1
rpc_bind_addr = '127.0.0.1:{free_port()}'
rpc_secret = '{SECRET}'
[s3_api]
s3_region = '{REGION}'
api_bind_addr = '127.0.0.1:{self.port}'
root_domain = '.s3.localhost'
""")
        return [self.program, '-c', config, 'server', '--single-node', '--default-bucket']

    def variables(self):
        return {'GARAGE_DEFAULT_ACCESS_KEY': KEY, 'GARAGE_DEFAULT_SECRET_KEY': SECRET, 'GARAGE_DEFAULT_BUCKET': BUCKET,
                'GARAGE_ALLOW_WORLD_READABLE_SECRETS': 'true', 'RUST_LOG': 'error'}

    def prepare(self):
        self.client().head_bucket(Bucket=BUCKET)


class Moto(Store):
    """Keeps everything in memory, and checks no signature."""

    def command(self):
        return [sys.executable, '-m', 'moto.server', '-H', '127.0.0.1', '-p', str(self.port)]

    def variables(self):
        return {}

    def prepare(self):
        # It takes no other region than the one that is signed for.
        self.client().create_bucket(Bucket=BUCKET, CreateBucketConfiguration={'LocationConstraint': REGION})


def store(port=None):
    """The best service there is here; says in one line when it is not Garage."""
    if Garage.program.exists():
        return Garage(port)
    print('Garage is not installed (./soak garage installs it): moto\'s server takes its place', flush=True)
    return Moto(port)
