"""The S3 service behind TLS with a certificate of a private authority: trusted by SSL_CERT_FILE, with either way of addressing, and told about without it."""
import hashlib

from harness import Failure, Server, case, contains, finish, run_cases, same, temp_dir, true
from s3 import body, client, pattern
from s3_backend import complaints, health
from store import BUCKET, store
from tls import Authority


class Stage:
    log_path = None

    def __init__(self, service, front):
        self.service, self.front = service, front

    def environment(self, host='localhost', by_host=False, trusted=True, **more):
        return self.service.environment(GLOBAL_S3_ENDPOINT=f'https://{host}:{self.front.port}', GLOBAL_S3_PROTOCOL='https', GLOBAL_S3_FORCE_PATH_STYLE='false' if by_host else 'true',
                                        **({'SSL_CERT_FILE': str(self.front.authority)} if trusted else {}), **more)

    def moves_objects(self, environment, bucket):
        data = pattern(20 * 1024 * 1024 + 1, bucket)
        with Server(env=environment) as server:
            same([line for line in server.log_path.read_text().splitlines() if 'ERROR' in line], [], 'errors in the log')
            same(health(server), {'healthy': True}, 'health')
            s3 = client(server)
            s3.create_bucket(Bucket=bucket)
            same(s3.put_object(Bucket=bucket, Key='ü/one', Body=data)['ETag'].strip('"'), hashlib.md5(data).hexdigest(), 'ETag')
            true(body(s3.get_object(Bucket=bucket, Key='ü/one')) == data, 'bytes differ')
            s3.copy_object(Bucket=bucket, Key='copy', CopySource={'Bucket': bucket, 'Key': 'ü/one'})
            same(body(s3.get_object(Bucket=bucket, Key='copy', Range='bytes=5-9')), data[5:10], 'a range of the copy')
            true(any(f'/{bucket}/copy/' in key for key in self.service.keys()), 'nothing in the service')
            s3.delete_objects(Bucket=bucket, Delete={'Objects': [{'Key': 'copy'}, {'Key': 'ü/one'}]})


@case
def by_path(stage):
    stage.moves_objects(stage.environment(), 'tls-by-path')


@case
def by_host(stage):
    # Garage checks that it is this host that was signed; moto's server knows no hosts.
    if not stage.service.hosts_by_name:
        print('needs Garage: TLS to hosts by bucket')
        return
    stage.moves_objects(stage.environment('s3.localhost', by_host=True), 'tls-by-host')


@case
def what_is_not_trusted_is_told(stage):
    for sentence, environment in (
            ("SSL_CERT_FILE: the store's certificate is of an authority that is not trusted", stage.environment(trusted=False)),
            ('GLOBAL_S3_ENDPOINT: the store cannot be reached', stage.environment('127.0.0.1')),
            ('GLOBAL_S3_ENDPOINT: the store cannot be reached: what listens there gives no HTTP answer: if it speaks TLS, https://', stage.service.environment(GLOBAL_S3_ENDPOINT=f'http://localhost:{stage.front.port}'))):
        with Server(env=environment) as server:
            told = [line for line in complaints(server) if 'ERROR' in line]
            same(len(told), 1, f'errors in the log: {told}')
            contains(told[0], sentence, 'log')
            same([line for line in told if ' { ' in line or 'Error(' in line], [], 'dumps')
            contains(' '.join(health(server)['problems']), sentence, 'health')


def run():
    folder = temp_dir('rowlock-tls-')
    with store() as service, Authority(service.port, folder, ['localhost', 's3.localhost', f'{BUCKET}.s3.localhost']) as front:
        return run_cases(Stage(service, front))


if __name__ == '__main__':
    try:
        counts = run()
    except Failure as failure:
        print(f'FAILED: {failure}')
        counts = (0, 1)
    finish(*counts)
