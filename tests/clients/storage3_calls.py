"""What every version of storage3 does, from one that crashes on members it does not know: URL, key and version in the arguments.

Runs in the Python of that version's own environment; prints `calls ok`.
"""
import sys

from storage3 import create_client
from storage3.version import __version__

url, key, version = sys.argv[1:]
assert __version__ == version, __version__
storage = create_client(url, {'apikey': key, 'Authorization': f'Bearer {key}'}, is_async=False)
storage.create_bucket('old-client', options={'public': True})
assert 'old-client' in [bucket.id for bucket in storage.list_buckets()]
assert storage.get_bucket('old-client').public
files = storage.from_('old-client')
files.upload('folder/a.txt', b'hello', {'content-type': 'text/plain', 'cache-control': '60', 'x-upsert': 'true'})
assert files.download('folder/a.txt') == b'hello'
assert [entry['name'] for entry in files.list('folder')] == ['a.txt']
files.copy('folder/a.txt', 'b.txt')
files.move('b.txt', 'c.txt')
assert 'token=' in files.create_signed_url('c.txt', 60)['signedURL']
assert [entry['name'] for entry in files.remove(['c.txt', 'folder/a.txt'])]
storage.empty_bucket('old-client')
storage.delete_bucket('old-client')
print('calls ok')
