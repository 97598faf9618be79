"""The blob store on S3 and what speaks its protocol (`AWS_ENDPOINT_URL` names another endpoint)."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, BinaryIO, Final, Self

from .blobs import CHUNK, UNKNOWN_TYPE, BlobStore, HashingWriter, address
from .errors import BlobError
from .parts import BlobRef

_CONNECT_TIMEOUT: Final = 5
_READ_TIMEOUT: Final = 60
_MISSING: Final = {"404", "NoSuchKey", "NotFound"}


class S3Store(BlobStore):
    """A prefix in a bucket. Large blobs travel in parts; credentials come from where boto3 finds them."""

    def __init__(self, bucket: str, prefix: str = "") -> None:
        self._bucket = bucket
        self._prefix = prefix.strip("/")
        self.url = f"s3://{bucket}/{self._prefix}"

    @classmethod
    def at(cls, url: str) -> Self:
        """Store at `s3://bucket/prefix`. Raises `BlobError` where the bucket is missing."""
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        if not bucket:
            raise BlobError(f"{url!r} names no bucket: use s3://bucket/prefix.")
        return cls(bucket, prefix)

    def _put(self, source: BinaryIO, content_type: str, name: str) -> BlobRef:
        expected = HashingReader(source)
        while expected.read(CHUNK):
            pass
        ref = self.ref(expected.hexdigest(), expected.size, content_type, name)
        if not self.exists(ref):
            source.seek(0)
            self._upload(source, ref)
        return ref

    def ref(self, sha256: str, size: int, content_type: str = "", name: str = "") -> BlobRef:
        """Return the reference that content with this hash gets here, whether or not it is stored yet."""
        key = "/".join(part for part in (self._prefix, address(sha256, name)) if part)
        uri = f"s3://{self._bucket}/{key}"
        return BlobRef(uri=uri, size=size, sha256=sha256, content_type=content_type or UNKNOWN_TYPE)

    def _upload(self, source: BinaryIO, ref: BlobRef) -> None:
        bucket, key = split_s3(ref.uri)
        sent = HashingReader(source)
        with blob_errors(ref.uri):
            s3_client().upload_fileobj(sent, bucket, key, ExtraArgs={"ContentType": ref.content_type})
        if sent.hexdigest() != ref.sha256:
            self.delete(ref)
            raise BlobError(f"{ref.uri}: the source changed while it was uploaded; upload it again")

    def _read(self, uri: str, target: HashingWriter) -> None:
        bucket, key = split_s3(uri)
        with blob_errors(uri):
            s3_client().download_fileobj(bucket, key, target)

    def exists(self, ref: BlobRef) -> bool:
        """Return whether an object of the right size is there."""
        bucket, key = split_s3(ref.uri)
        with blob_errors(ref.uri):
            try:
                return bool(s3_client().head_object(Bucket=bucket, Key=key)["ContentLength"] == ref.size)
            except s3_client().exceptions.ClientError as error:
                if error.response["Error"]["Code"] in _MISSING:
                    return False
                raise

    def delete(self, ref: BlobRef) -> None:
        """Remove the object; one that is not there is no error."""
        bucket, key = split_s3(ref.uri)
        with blob_errors(ref.uri):
            s3_client().delete_object(Bucket=bucket, Key=key)


class HashingReader:
    """Reads a file once from front to back and hashes what passes. It can't seek, so that uploads send just that."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._hash = hashlib.sha256()
        self.size = 0

    def read(self, size: int = -1) -> bytes:
        """Read up to `size` bytes."""
        data = self._source.read(size)
        self._hash.update(data)
        self.size += len(data)
        return data

    def hexdigest(self) -> str:
        """SHA-256 of all that was read."""
        return self._hash.hexdigest()


def split_s3(uri: str) -> tuple[str, str]:
    """Bucket and key of `s3://bucket/key`."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def s3_client() -> Any:
    """boto3's S3 client of this process. Raises `BlobError` where boto3 is not installed."""
    environment = tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith("AWS_")))
    return _client(os.getpid(), environment)


@cache
def _client(_process: int, _environment: tuple[tuple[str, str], ...]) -> Any:
    try:
        import boto3  # noqa: PLC0415  heavy, and an extra
        from botocore.config import Config  # noqa: PLC0415  heavy, and an extra
    except ModuleNotFoundError as error:
        raise BlobError("s3:// needs boto3: pip install 'tasktape[aws]'.") from error
    config = Config(
        connect_timeout=_CONNECT_TIMEOUT,
        read_timeout=_READ_TIMEOUT,
        retries={"max_attempts": 3, "mode": "standard"},
    )
    client: Any = boto3.client  # its type has one overload for each of 400 services
    return client("s3", config=config)


@contextmanager
def blob_errors(uri: str) -> Iterator[None]:
    """Turn what boto3 raises into a `BlobError` about `uri`."""
    s3_client()
    from boto3.exceptions import Boto3Error  # noqa: PLC0415  heavy, and an extra
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415  heavy, and an extra

    try:
        yield
    except (Boto3Error, BotoCoreError, ClientError) as error:
        raise BlobError(f"{uri}: {error}") from error
