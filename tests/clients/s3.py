"""boto3 clients for a running server, and what the suites say to them again and again."""
import http.client
import random
import threading
import urllib.parse

import boto3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.exceptions import ClientError

from harness import Failure, same


# A session reads the service's model once; only the making of clients has to take turns (boto3's guide, "Multithreading").
SESSION, TURN = boto3.session.Session(), threading.Lock()


def make(**options):
    """An S3 client of the one session."""
    with TURN:
        return SESSION.client('s3', **options)


def client(server, token=None, endpoint=None, access_key=None, secret_key=None, region=None, verify=None, **config):
    """An S3 client. With `token` it speaks as the session-token users do: tenant id, anon key, JWT."""
    if token is not None:
        access_key = access_key or server.keys.get('STORAGE_TENANT_ID') or server.keys.get('TENANT_ID') or 'stub'
        secret_key = secret_key or server.keys['ANON_KEY']
    options = dict(s3={'addressing_style': 'path', **config.pop('s3', {})}, retries={'max_attempts': 0, 'mode': 'standard'},
                   read_timeout=120, max_pool_connections=64)
    return make(
        endpoint_url=endpoint or server.endpoint, region_name=region or server.region, verify=verify,
        aws_access_key_id=access_key or server.access_key, aws_secret_access_key=secret_key or server.secret_key,
        aws_session_token=token, config=Config(**{**options, **config}))


def refused(call, code=None, status=None):
    """Runs call(); returns the error it must end in, as (code, status, message)."""
    try:
        answer = call()
    except ClientError as error:
        got = (error.response['Error'].get('Code'), error.response['ResponseMetadata']['HTTPStatusCode'], error.response['Error'].get('Message', ''))
        if code is not None:
            same(got[0], code, f'error code ({got[2]})')
        if status is not None:
            same(got[1], status, f'status of {got[0]}')
        return got
    raise Failure(f'succeeded where {code or status} was due: {answer!r:.300}')


def raw(s3, method, path, query='', data=b'', headers=None):
    """One request as written, signed: (status, error code, bytes, headers)."""
    url = s3.meta.endpoint_url + path + ('?' + query if query else '')
    request = AWSRequest(method=method, url=url, data=data, headers=headers or {})
    S3SigV4Auth(s3._request_signer._credentials, 's3', s3.meta.region_name).add_auth(request)
    where = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=30)
    connection.request(method, where.path + ('?' + where.query if where.query else ''), body=data, headers=dict(request.headers.items()))
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    code = text.decode(errors='replace').split('<Code>')[1].split('<')[0] if b'<Code>' in text else None
    return answer.status, code, text, answer.headers


def empty_and_delete(s3, bucket):
    for page in s3.get_paginator('list_objects_v2').paginate(Bucket=bucket):
        keys = [{'Key': o['Key']} for o in page.get('Contents', [])]
        if keys:
            s3.delete_objects(Bucket=bucket, Delete={'Objects': keys, 'Quiet': True})
    for upload in s3.list_multipart_uploads(Bucket=bucket).get('Uploads', []):
        s3.abort_multipart_upload(Bucket=bucket, Key=upload['Key'], UploadId=upload['UploadId'])
    s3.delete_bucket(Bucket=bucket)


def body(answer):
    return answer['Body'].read()


def keys(answer):
    return [o['Key'] for o in answer.get('Contents', [])]


def prefixes(answer):
    return [p['Prefix'] for p in answer.get('CommonPrefixes', [])]


def pattern(size, seed=0):
    """Bytes that differ at every position a part could be swapped with; the same for the same seed."""
    return random.Random(str(seed)).randbytes(size)
