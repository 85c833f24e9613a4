from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

BUCKET = "pictures"


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_connection(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """An ``aws`` connection with ``endpoint_url``, as Yandex Object Storage is reached."""
    connection = {
        "conn_type": "aws",
        "login": "access",
        "password": "secret",
        "extra": {"endpoint_url": s3_endpoint, "region_name": "ru-central1"},
    }
    monkeypatch.setenv("AIRFLOW_CONN_STORAGE", json.dumps(connection))
    return "storage"


@pytest.fixture
def s3(s3_endpoint: str, s3_connection: str) -> Iterator[Any]:
    """A client of the S3 server, with an empty bucket."""
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
