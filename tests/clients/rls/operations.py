"""What an operation of the matrix of row-level security is: the request, and the same as SQL.

`ask` sends it and returns (status, error code, what the answer tells); `sql` puts the question to the database and returns what the answer
must tell, or raises Refused with the code. `name` is what storage.operation() says meanwhile.
"""
OPERATIONS = []


class Operation:
    """One operation; its subclasses are classes of requests, never made."""
    name = ''
    status = 200
    callers = ('anon', 'alice', 'bob', 'service')

    @classmethod
    def label(cls):
        return f'{cls.protocol} {cls.__name__}'.strip()


class Rest(Operation):
    protocol = 'REST'
    errors = {'AccessDenied': '403', 'NoSuchKey': '404', 'NoSuchBucket': '404', 'KeyAlreadyExists': '409', 'ResourceAlreadyExists': '409', 'BucketAlreadyExists': '409',
              'ResourceNotEmpty': '409', 'InvalidRequest': '400', 'MissingParameter': '400'}

    @classmethod
    def refusal(cls, code):
        return 400, f'{cls.errors.get(code)} {code}'


class S3(Operation):
    protocol = 'S3'
    errors = {'AccessDenied': 403, 'NoSuchKey': 404, 'NoSuchBucket': 404, 'NoSuchUpload': 404, 'NoSuchTagSet': 404, 'BucketNotEmpty': 409, 'PreconditionFailed': 412,
              'BucketAlreadyOwnedByYou': 409, 'BucketAlreadyExists': 409, 'NoSuchObjectLockConfiguration': 404}

    @classmethod
    def refusal(cls, code):
        return cls.errors.get(code), code


class Headless:
    """An answer without a body tells its status only."""

    @classmethod
    def refusal(cls, code):
        return super().refusal(code)[0], None


def operation(name, **fields):
    def register(cls):
        cls.name = name
        for field, value in fields.items():
            setattr(cls, field, value)
        OPERATIONS.append(cls)
        return cls
    return register
