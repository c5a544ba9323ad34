"""What the fault tests share: the client suites' harness, and S3 answers taken apart without an SDK."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / 'clients'))

from harness import *           # noqa: E402,F401,F403
from signing import Raw         # noqa: E402,F401
from s3 import client, pattern  # noqa: E402,F401


def tag(text, name):
    """The text of the first element of that name."""
    return text.decode().split(f'<{name}>')[1].split('<')[0]


def complete_body(parts):
    return ('<CompleteMultipartUpload>' + ''.join(f'<Part><PartNumber>{n}</PartNumber><ETag>{e}</ETag></Part>' for n, e in parts) + '</CompleteMultipartUpload>').encode()
