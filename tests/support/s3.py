"""An S3 server for tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

REGION = "ru-central1"


@contextmanager
def s3_server() -> Iterator[str]:
    """:return: the endpoint of an S3 server."""
    server: Any = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        # Older releases of moto do not tell the port.
        yield f"http://127.0.0.1:{server._server.server_port}"
    finally:
        server.stop()


@contextmanager
def bucket_of(pictures: Path) -> Iterator[str]:
    """An S3 server with the files of a folder in ``s3://examples/catalog/``. :return: its endpoint."""
    with s3_server() as endpoint:
        keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret"}
        client = boto3.client("s3", endpoint_url=endpoint, region_name=REGION, **keys)
        client.create_bucket(Bucket="examples", CreateBucketConfiguration={"LocationConstraint": REGION})
        objects = {f"catalog/{picture.name}": str(picture) for picture in pictures.iterdir()}
        for key, path in objects.items():
            client.upload_file(path, "examples", key)
        yield endpoint
        # All servers of a process share one store.
        for key in objects:
            client.delete_object(Bucket="examples", Key=key)
        client.delete_bucket(Bucket="examples")
