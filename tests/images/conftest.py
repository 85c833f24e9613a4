from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from fsspec.asyn import sync_wrapper
from moto.backends import get_backend
from moto.server import ThreadedMotoServer

from airflow_provider_yandex_vision.images.storage import Storages
from airflow_provider_yandex_vision.search.prepare import prepare_image
from airflow_provider_yandex_vision.search.settings import Settings
from airflow_provider_yandex_vision.vision import Image, PreparedImage
from tests.support.fake_service import FakeService
from tests.support.pictures import png

BUCKET = "pictures"
ROOT = f"s3://storage@{BUCKET}"


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port)
    server.start()
    yield f"http://127.0.0.1:{port}"
    server.stop()


@pytest.fixture
def s3(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of an S3 server with an empty bucket. The connection ``storage`` reaches it by its ``endpoint_url``."""
    connection = {
        "conn_type": "aws",
        "login": "access",
        "password": "secret",
        "extra": {"endpoint_url": s3_endpoint, "region_name": "ru-central1"},
    }
    monkeypatch.setenv("AIRFLOW_CONN_STORAGE", json.dumps(connection))
    client = boto3.client(
        "s3",
        endpoint_url=s3_endpoint,
        region_name="ru-central1",
        aws_access_key_id="access",
        aws_secret_access_key="secret",
    )
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "ru-central1"})
    yield client
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        for entry in page.get("Contents", ()):
            client.delete_object(Bucket=BUCKET, Key=entry["Key"])
    client.delete_bucket(Bucket=BUCKET)


def filesystem() -> Any:
    """The server, as the code under test opens it."""
    return Storages().filesystem("s3", "storage")


def put(s3: Any, *keys: str) -> None:
    """Objects whose content is unique to their key, and empty markers for keys that end with a slash."""
    for key in keys:
        s3.put_object(Bucket=BUCKET, Key=key, Body=png(key) if not key.endswith("/") else b"")


def put_many(count: int) -> None:
    """``many/00000.jpg`` and so on; put behind the server's back, since requests would take minutes."""
    store = get_backend("s3")["123456789012"]["aws"]
    for number in range(count):
        store.put_object(BUCKET, f"many/{number:05}.jpg", b"x")


def delete_all() -> None:
    get_backend("s3")["123456789012"]["aws"].buckets[BUCKET].keys.clear()


def prepare(image: Image, **settings: Any) -> PreparedImage:
    return prepare_image(image, FakeService(), Settings(**settings))


def deny(fs: Any, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the server answer 403 for one key."""
    call = fs._call_s3

    async def deny_one(method: str, *args: Any, **arguments: Any) -> Any:
        if arguments.get("Key") == key:
            raise PermissionError("Forbidden")
        return await call(method, *args, **arguments)

    monkeypatch.setattr(fs, "_call_s3", deny_one)
    monkeypatch.setattr(fs, "call_s3", sync_wrapper(deny_one, obj=fs))
