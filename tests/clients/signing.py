"""Signature Version 4 by hand, for requests that no SDK would send and for load that no SDK could.

https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
"""
import datetime
import hashlib
import hmac
import http.client
import urllib.parse

EMPTY = hashlib.sha256(b'').hexdigest()


def signing_key(secret, date, region):
    key = b'AWS4' + secret.encode()
    for part in (date, region, 's3', 'aws4_request'):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


def sign(access_key, secret_key, region, method, url, payload='UNSIGNED-PAYLOAD', headers=None, at=None):
    """Signs by header; returns all headers to send. The URL's path must be encoded and its query sorted."""
    where = urllib.parse.urlsplit(url)
    stamp = (at or datetime.datetime.now(datetime.timezone.utc)).strftime('%Y%m%dT%H%M%SZ')
    every = {'host': where.netloc, 'x-amz-date': stamp, 'x-amz-content-sha256': payload, **(headers or {})}
    names = ';'.join(sorted(every))
    canonical = '\n'.join([method, where.path, where.query, *(f'{k}:{every[k]}' for k in sorted(every)), '', names, payload])
    scope = f'{stamp[:8]}/{region}/s3/aws4_request'
    text = '\n'.join(['AWS4-HMAC-SHA256', stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    seed = hmac.new(signing_key(secret_key, stamp[:8], region), text.encode(), hashlib.sha256).hexdigest()
    return {**every, 'authorization': f'AWS4-HMAC-SHA256 Credential={access_key}/{scope}, SignedHeaders={names}, Signature={seed}'}


def error_code(text):
    text = text.decode(errors='replace')
    return text.split('<Code>')[1].split('<')[0] if '<Code>' in text else None


def send(method, url, headers, data):
    """(status, error code)"""
    where = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=30)
    connection.request(method, where.path + ('?' + where.query if where.query else ''), body=data, headers=headers)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, error_code(text)


class Raw:
    """One kept connection that signs by hand: a hundred of these cost less than one SDK client."""

    def __init__(self, server, timeout=60):
        self.server, self.timeout = server, timeout
        self.access_key, self.secret_key = server.access_key, server.secret_key
        self.base = urllib.parse.urlsplit(server.endpoint)
        self.connection = None

    def __call__(self, method, path, query='', data=b'', headers=None):
        """(status, headers, body); raises OSError or HTTPException where the connection breaks."""
        if self.connection is None:
            self.connection = http.client.HTTPConnection(self.base.hostname, self.base.port, timeout=self.timeout)
        target = self.base.path + urllib.parse.quote(path, safe="/-_.~") + ('?' + query if query else '')
        signed = sign(self.access_key, self.secret_key, 'stub', method, f'http://{self.base.netloc}{target}', headers=headers)
        try:
            self.connection.request(method, target, body=data, headers=signed)
            answer = self.connection.getresponse()
            return answer.status, answer.headers, answer.read()
        except BaseException:
            self.close()
            raise

    def close(self):
        if self.connection:
            self.connection.close()
            self.connection = None
