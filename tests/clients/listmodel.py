"""What S3 lists must answer, as a few lines of Python: the suites compare every page of the server with it."""


def entries(names, prefix='', delimiter='', after=''):
    """('key', name) and ('prefix', text) in the order of their bytes, after `after` (exclusive)."""
    seen = []
    for name in sorted(names, key=lambda n: n.encode()):
        if not name.startswith(prefix):
            continue
        cut = name.find(delimiter, len(prefix)) if delimiter else -1
        if cut < 0:
            entry = ('key', name)
        else:
            entry = ('prefix', name[:cut + len(delimiter)])
        # The list goes on behind a name; behind a folder where the marker is the folder itself, as pages end.
        if after and (name.encode() <= after.encode() or entry[1] == after):
            continue
        if not seen or seen[-1] != entry:
            seen.append(entry)
    return seen


def page_entries(answer):
    """The entries of one page, merged back into one order."""
    found = [('key', o['Key']) for o in answer.get('Contents', [])] + [('prefix', p['Prefix']) for p in answer.get('CommonPrefixes', [])]
    return sorted(found, key=lambda e: e[1].encode())


def walk_v2(s3, bucket, pages=None, **query):
    """All pages of ListObjectsV2; stops after `pages`. Yields the answers."""
    token = {}
    count = 0
    while True:
        answer = s3.list_objects_v2(Bucket=bucket, **query, **token)
        yield answer
        count += 1
        if not answer['IsTruncated'] or count == pages:
            return
        token = {'ContinuationToken': answer['NextContinuationToken']}


def walk_v1(s3, bucket, pages=None, **query):
    """All pages of ListObjects, following NextMarker or, where AWS sends none, the last key."""
    marker = {}
    count = 0
    while True:
        answer = s3.list_objects(Bucket=bucket, **query, **marker)
        yield answer
        count += 1
        if not answer['IsTruncated'] or count == pages:
            return
        marker = {'Marker': answer.get('NextMarker') or answer['Contents'][-1]['Key']}
