"""The S3 operations that AWS's own model knows, what the README says of each, and the smallest request that each can be."""
import datetime
import re

import botocore.session

from harness import ROOT

MODEL = botocore.session.get_session().get_service_model('s3')
OPERATIONS = {name: MODEL.operation_model(name) for name in MODEL.operation_names}

# At AWS these belong to other services than S3, with hosts of their own; requests are signed for those.
ELSEWHERE = {'ListDirectoryBuckets', 'WriteGetObjectResponse'}
# What reading a sub-resource that was never set ends in, where that is no success.
MISSING = {
    'GetBucketAnalyticsConfiguration': 'NoSuchConfiguration', 'GetBucketCors': 'NoSuchCORSConfiguration',
    'GetBucketEncryption': 'ServerSideEncryptionConfigurationNotFoundError', 'GetBucketIntelligentTieringConfiguration': 'NoSuchConfiguration',
    'GetBucketInventoryConfiguration': 'NoSuchConfiguration', 'GetBucketLifecycle': 'NoSuchLifecycleConfiguration',
    'GetBucketLifecycleConfiguration': 'NoSuchLifecycleConfiguration', 'GetBucketMetricsConfiguration': 'NoSuchConfiguration',
    'GetBucketOwnershipControls': 'OwnershipControlsNotFoundError', 'GetBucketPolicy': 'NoSuchBucketPolicy', 'GetBucketPolicyStatus': 'NoSuchBucketPolicy',
    'GetBucketReplication': 'ReplicationConfigurationNotFoundError', 'GetBucketWebsite': 'NoSuchWebsiteConfiguration',
    'GetObjectLegalHold': 'NoSuchObjectLockConfiguration', 'GetObjectLockConfiguration': 'ObjectLockConfigurationNotFoundError',
    'GetObjectRetention': 'NoSuchObjectLockConfiguration', 'GetPublicAccessBlock': 'NoSuchPublicAccessBlockConfiguration',
}


def readme_rows():
    """The cells beside `supported`, `answered` and `refused` in the README's table."""
    text = (ROOT / 'README.md').read_text()
    return {word: re.search(rf'^\| \*\*{word}\*\*.*?\| (.*) \|$', text, re.M).group(1) for word in ('supported', 'answered', 'refused')}


def supported_in(cell):
    """The operations that a cell of prose names; `Get/Put/DeleteX` are three."""
    names = set()
    for verbs, rest in re.findall(r'\b((?:[A-Z][a-z]+/)*[A-Z][a-z]+)((?:[A-Z][A-Za-z0-9]*)+)', re.sub(r'\(.*?\)', '', cell)):
        names.update(verb + rest for verb in verbs.split('/'))
    return names


def classes():
    """Every operation of the model, by what the README says of it."""
    rows, sets = readme_rows(), {'supported': [], 'answered': [], 'refused': []}
    for name in OPERATIONS:
        sets[readme_class(name, rows)].append(name)
    return sets


def readme_class(name, rows):
    if name in supported_in(rows['supported']):
        return 'supported'
    operation = OPERATIONS[name]
    uri = operation.http['requestUri']
    sub = uri.partition('?')[2].split('&')[0].split('=')[0]
    bucket_part, _, object_part = rows['answered'].partition('of objects')
    answered = set(re.findall(r'`([^`]+)`', object_part if 'Key' in uri else bucket_part))
    return 'answered' if operation.http['method'] in ('GET', 'HEAD') and sub in answered else 'refused'


# What a name means, where any text will not do.
KNOWN = {'UploadId': 'no-such-upload', 'CopySource': '{bucket}/{key}', 'PartNumber': 1, 'RenameSource': '/{bucket}/{key}', 'RequestRoute': 'route',
         'RequestToken': 'token', 'Expression': 'select * from s3object', 'Policy': '{{}}', 'DisplayName': 'x', 'URI': 'http://acs.amazonaws.com/groups/global/AllUsers',
         'LocationConstraint': 'eu-west-1', 'ETag': '"x"', 'KMSKeyArn': 'arn:aws:kms:eu-west-1:111122223333:key/x'}


def smallest(name, **given):
    """The smallest parameters that botocore takes for an operation, made from the shape of its input."""
    shape = OPERATIONS[name].input_shape
    return {} if shape is None else {member: value(shape.members[member], member, given) for member in shape.required_members}


def value(shape, name, given):
    if name.lower() in given:
        return given[name.lower()]
    if name in KNOWN:
        known = KNOWN[name]
        return known.format(**given) if isinstance(known, str) else known
    kind = shape.type_name
    if kind == 'structure':
        members = shape.required_members or list(shape.members)[:1]
        return {member: value(shape.members[member], member, given) for member in members}
    if kind == 'list':
        return [value(shape.member, shape.member.name, given)]
    if kind == 'map':
        return {'a': value(shape.value, 'value', given)}
    if kind == 'timestamp':
        return datetime.datetime(2030, 1, 1, tzinfo=datetime.timezone.utc)
    if kind == 'string':
        return (shape.enum or ['x'])[0]
    return {'boolean': True, 'integer': 1, 'long': 1, 'float': 1.0, 'double': 1.0, 'blob': b'x'}[kind]
