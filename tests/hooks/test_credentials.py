"""Each kind of credentials, from an Airflow connection to the service."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_yandex_vision.hooks.vision import YandexVisionHook
from airflow_provider_yandex_vision.vision.errors import (
    AuthenticationError,
    ConfigurationError,
    TransientError,
    UnavailableError,
)
from tests.hooks.conftest import CONN_ID, Connect
from tests.support.cloud import Cloud, running_cloud
from tests.support.loopback import reply, serving
from tests.support.pictures import image, images
from tests.support.secrets import ACCOUNT, API_KEY, IAM_TOKEN, authorized_key, private_key, to_pem

KINDS = ("password", "service_account_json", "service_account_json_path", "metadata_token", "yandex_cloud_conn_id")
MACHINE = "the service account of this machine"
KEY = f"the authorized key of service account {ACCOUNT}"


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    with running_cloud() as cloud:
        monkeypatch.setenv("YC_METADATA_ADDR", cloud.address)
        yield cloud


@pytest.fixture
def key_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A path. Not in ``tmp_path``, where no test may leave a key."""
    file = tmp_path_factory.mktemp("keys") / "key.json"
    file.write_text(authorized_key())
    return str(file)


@pytest.fixture
def connect_other(monkeypatch: pytest.MonkeyPatch) -> Connect:
    """Create the connection ``yc`` of type ``yandexcloud`` with the given extra."""

    def connect(conn_type: str = "yandexcloud", **extra: object) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_YC", json.dumps({"conn_type": conn_type, "extra": extra}))

    return connect


@pytest.fixture
def connect_to(connect: Connect, cloud: Cloud) -> Connect:
    """Create the connection ``vision`` to the cloud, with the given extra and without a password."""

    def connect_to(password: str | None = None, **extra: object) -> None:
        connect(host=cloud.url, password=password, extra={"iam_endpoint": cloud.url, **extra})

    return connect_to


def search() -> list[str]:
    return [result.status for result in YandexVisionHook(CONN_ID, linger=0).copy_search(images(3))]


def press_test() -> tuple[bool, str]:
    return YandexVisionHook(CONN_ID).test_connection()


def reason(kind: type[Exception] = ConfigurationError) -> str:
    """Why the connection cannot be used. Names the connection."""
    with pytest.raises(kind) as caught:
        YandexVisionHook(CONN_ID).get_conn()
    assert str(caught.value).startswith("connection 'vision': ")
    assert press_test() == (False, str(caught.value).removeprefix("connection 'vision': "))
    return str(caught.value).removeprefix("connection 'vision': ")


class TestEachKind:
    """Searches, and the Test button says which kind it used."""

    def test_api_key(self, cloud: Cloud, connect_to: Connect) -> None:
        connect_to(password=API_KEY)
        assert search() == ["none"] * 3
        assert press_test() == (True, f"{cloud.url} accepts the API key")
        assert cloud.tokens_issued == 0

    def test_authorized_key_as_text(self, cloud: Cloud, connect_to: Connect) -> None:
        connect_to(service_account_json=authorized_key())
        assert search() == ["none"] * 3
        assert press_test() == (True, f"{cloud.url} accepts {KEY} (service_account_json)")

    def test_authorized_key_as_an_object(self, cloud: Cloud, connect_to: Connect) -> None:
        connect_to(service_account_json=json.loads(authorized_key()))
        assert search() == ["none"] * 3

    def test_authorized_key_in_a_file(self, cloud: Cloud, connect_to: Connect, key_file: str) -> None:
        connect_to(service_account_json_path=f" {key_file}\n")
        assert search() == ["none"] * 3
        assert press_test() == (True, f"{cloud.url} accepts {KEY} (service_account_json_path)")

    @pytest.mark.parametrize("value", [True, "true", "True", "yes", "1", 1])
    def test_metadata_service(self, cloud: Cloud, connect_to: Connect, value: Any) -> None:
        connect_to(metadata_token=value)
        assert search() == ["none"] * 3
        assert press_test() == (True, f"{cloud.url} accepts {MACHINE} (metadata_token)")

    @pytest.mark.parametrize("prefix", ["", "extra__yandexcloud__"])
    def test_authorized_key_of_a_yandexcloud_connection(
        self, cloud: Cloud, connect_to: Connect, connect_other: Connect, prefix: str
    ) -> None:
        connect_other(**{f"{prefix}service_account_json": authorized_key(), f"{prefix}folder_id": "b1g"})
        connect_to(yandex_cloud_conn_id="yc")
        assert search() == ["none"] * 3
        assert press_test() == (True, f"{cloud.url} accepts {KEY} (yandex_cloud_conn_id 'yc', service_account_json)")

    @pytest.mark.parametrize("prefix", ["", "extra__yandexcloud__"])
    def test_key_file_of_a_yandexcloud_connection(
        self, cloud: Cloud, connect_to: Connect, connect_other: Connect, prefix: str, key_file: str
    ) -> None:
        connect_other(**{f"{prefix}service_account_json_path": key_file})
        connect_to(yandex_cloud_conn_id="yc")
        assert search() == ["none"] * 3
        assert press_test() == (
            True,
            f"{cloud.url} accepts {KEY} (yandex_cloud_conn_id 'yc', service_account_json_path)",
        )

    def test_metadata_service_for_an_empty_yandexcloud_connection(
        self, cloud: Cloud, connect_to: Connect, connect_other: Connect
    ) -> None:
        connect_other(service_account_json="", oauth=None)
        connect_to(yandex_cloud_conn_id="yc")
        assert search() == ["none"] * 3
        assert press_test() == (True, f"{cloud.url} accepts {MACHINE} (yandex_cloud_conn_id 'yc')")

    def test_field_without_the_old_prefix_wins(self, cloud: Cloud, connect_to: Connect, connect_other: Connect) -> None:
        connect_other(service_account_json=authorized_key(), extra__yandexcloud__service_account_json="{}")
        connect_to(yandex_cloud_conn_id="yc")
        assert search() == ["none"] * 3

    def test_extra_of_a_uri(self, cloud: Cloud, connect: Connect) -> None:
        connect(f"yandex-vision://http://{cloud.address}/?metadata_token=true&timeout=5")
        assert search() == ["none"] * 3

    def test_no_kind_means_text_that_is_false(self, cloud: Cloud, connect_to: Connect) -> None:
        connect_to(password=API_KEY, metadata_token="false", service_account_json=None, yandex_cloud_conn_id="")
        assert search() == ["none"] * 3


class TestMixture:
    @pytest.mark.parametrize(("first", "second"), combinations(range(5), 2))
    def test_of_two_kinds_is_refused(self, connect_to: Connect, first: int, second: int) -> None:
        values = (API_KEY, authorized_key(), "/key.json", True, "yc")
        connect_to(**{KINDS[number]: values[number] for number in (first, second)})
        both = f"{KINDS[first]} and {KINDS[second]}"
        assert reason() == f"{both} are set, each a kind of credentials: use only one"

    @pytest.mark.parametrize("password", [None, "", " \n"])
    @pytest.mark.parametrize("extra", [{}, {"metadata_token": False}, {"service_account_json": ""}])
    def test_of_nothing_is_refused(self, connect_to: Connect, password: str | None, extra: dict[str, Any]) -> None:
        connect_to(password, **extra)
        assert reason() == (
            "no credentials: put an API key into the password field, or set service_account_json, "
            "service_account_json_path, metadata_token or yandex_cloud_conn_id in extra"
        )


class TestMistake:
    """Each is answered with one sentence that names the connection and the field."""

    @pytest.mark.parametrize(
        ("password", "found"),
        [
            ("y0_AgAAAABnotareal", "an OAuth token"),
            (f"{IAM_TOKEN}-1", "an IAM token"),
            ("key file", "JSON: put an authorized key into service_account_json"),
            ("PEM", "a private key: put the whole authorized key"),
        ],
    )
    def test_other_secret_as_the_password(self, connect_to: Connect, password: str, found: str) -> None:
        secrets = {"key file": authorized_key(), "PEM": to_pem(private_key())}
        connect_to(password=secrets.get(password, password))
        assert reason().startswith(f"the password is not an API key but {found}")

    @pytest.mark.parametrize("field", ["password", "service_account_json", "service_account_json_path"])
    def test_mask_instead_of_the_secret(self, connect_to: Connect, field: str) -> None:
        """Before Airflow 3.2, the Test button sends it."""
        connect_to(**{field: "***"})
        assert reason() == (
            f"{field} is '***', which Airflow shows instead of a secret: enter the secret again; to test a saved "
            "connection before Airflow 3.2, use `airflow connections test`"
        )

    @pytest.mark.parametrize("field", ["service_account_json", "service_account_json_path"])
    def test_key_file_of_another_cloud(self, connect_to: Connect, field: str, tmp_path: Path) -> None:
        text = '{"type": "service_account", "client_email": "a@b.test"}'
        (tmp_path / "key.json").write_text(text)
        connect_to(**{field: text if field == "service_account_json" else str(tmp_path / "key.json")})
        assert reason() == f"{field}: this is not an authorized key but a key of Google Cloud"

    def test_path_instead_of_the_key(self, connect_to: Connect, key_file: str) -> None:
        connect_to(service_account_json=key_file)
        assert reason() == "service_account_json: the authorized key is not JSON: use the whole file"

    def test_key_instead_of_the_path(self, connect_to: Connect) -> None:
        for secret in (authorized_key(), json.loads(authorized_key()), to_pem(private_key())):
            connect_to(service_account_json_path=secret)
            assert reason() == (
                "service_account_json_path: this is a key, not a path: put it into service_account_json"
            )

    def test_key_file_that_is_missing(self, connect_to: Connect, tmp_path: Path) -> None:
        connect_to(service_account_json_path=str(tmp_path / "key.json"))
        assert reason() == f"service_account_json_path: cannot read {tmp_path}/key.json: No such file or directory"

    def test_key_file_that_is_a_folder(self, connect_to: Connect, tmp_path: Path) -> None:
        connect_to(service_account_json_path=str(tmp_path))
        assert reason() == f"service_account_json_path: cannot read {tmp_path}: Is a directory"

    def test_key_file_that_is_binary(self, connect_to: Connect, tmp_path: Path) -> None:
        (tmp_path / "key.json").write_bytes(b"\xff\xfe")
        connect_to(service_account_json_path=str(tmp_path / "key.json"))
        assert reason() == f"service_account_json_path: cannot read {tmp_path}/key.json: not a text file"

    @pytest.mark.parametrize("value", ["maybe", 2, [True]])
    def test_metadata_token_that_is_neither_true_nor_false(self, connect_to: Connect, value: Any) -> None:
        connect_to(metadata_token=value)
        assert reason() == f"metadata_token in extra must be true or false, not {value!r}"

    @pytest.mark.parametrize(
        ("url", "message"),
        [
            ("http://iam.test", "iam_endpoint must start with https, not http://iam.test"),
            ("ftp://iam.test", "iam_endpoint 'ftp://iam.test' is not a URL such as https://iam.api.cloud.yandex.net"),
            ("https://a:b@iam.test", "iam_endpoint may have a scheme, a name, a port and a path, but nothing else"),
        ],
    )
    def test_iam_endpoint_that_cannot_be_used(self, connect_to: Connect, url: str, message: str) -> None:
        connect_to(service_account_json=authorized_key(), iam_endpoint=url)
        assert reason() == message


class TestYandexCloudConnection:
    @pytest.fixture(autouse=True)
    def connected(self, connect_to: Connect) -> None:
        connect_to(yandex_cloud_conn_id="yc")

    def test_missing_is_reported(self) -> None:
        assert reason() == "yandex_cloud_conn_id 'yc' does not exist"

    def test_of_another_type_is_refused(self, connect_other: Connect) -> None:
        connect_other(conn_type="aws")
        assert reason() == "yandex_cloud_conn_id 'yc' is a connection of type 'aws', not 'yandexcloud'"

    @pytest.mark.parametrize("prefix", ["", "extra__yandexcloud__"])
    def test_with_an_oauth_token_is_refused(self, connect_other: Connect, prefix: str) -> None:
        connect_other(**{f"{prefix}oauth": "y0_secret"})
        assert reason() == (
            "yandex_cloud_conn_id 'yc' has an OAuth token, which Yandex Cloud stops accepting at the end of 2026: "
            "replace it with an authorized key in service_account_json"
        )

    def test_with_two_keys_is_refused(self, connect_other: Connect) -> None:
        connect_other(service_account_json=authorized_key(), service_account_json_path="/key.json")
        assert reason() == (
            "yandex_cloud_conn_id 'yc' has both service_account_json and service_account_json_path: use only one"
        )

    def test_with_a_wrong_key_is_refused(self, connect_other: Connect) -> None:
        connect_other(service_account_json="{}")
        assert reason().startswith("yandex_cloud_conn_id 'yc', service_account_json: the authorized key has no id, ")


class TestNoToken:
    """Said before anything is listed or read."""

    def test_if_the_metadata_service_is_absent(self, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            address = f"127.0.0.1:{closed.getsockname()[1]}"
        monkeypatch.setenv("YC_METADATA_ADDR", address)
        connect(password=None, extra={"metadata_token": True})
        assert reason(UnavailableError) == (
            f"no IAM token for {MACHINE} (metadata_token): "
            f"no reply from the metadata service at {address}: Connection refused"
        )

    def test_if_the_machine_has_no_service_account(self, cloud: Cloud, connect_to: Connect) -> None:
        connect_to(metadata_token=True)
        cloud.status = 404
        message = (
            f"no IAM token for {MACHINE} (metadata_token): the metadata service at {cloud.address} refused: "
            "metadata says 404; link a service account to this machine (HTTP 404)"
        )
        with pytest.raises(AuthenticationError, match=re.escape(message)):
            search()
        assert press_test() == (False, message)

    def test_if_iam_is_down(self, cloud: Cloud, connect_to: Connect) -> None:
        connect_to(service_account_json=authorized_key())
        cloud.status = 503
        assert reason(TransientError) == (
            f"no IAM token for {KEY} (service_account_json): "
            f"IAM at {cloud.url} failed: IAM says 503, JWT *** (HTTP 503)"
        )

    def test_if_the_key_is_unknown_to_iam(self, cloud: Cloud, connect_to: Connect) -> None:
        connect_to(service_account_json=authorized_key(id="aje-other"))
        ok, message = press_test()
        assert not ok
        assert message.startswith(f"no IAM token for {KEY} (service_account_json): IAM at {cloud.url} refused: ")

    def test_until_it_is_needed(self, cloud: Cloud, connect_to: Connect) -> None:
        connect_to(metadata_token=True)
        YandexVisionHook(CONN_ID)
        assert cloud.requests == []


def test_rejected_kind_is_named(cloud: Cloud, connect_to: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    other = json.dumps({"access_token": f"{IAM_TOKEN}-of-somebody-else", "expires_in": 3600}).encode()
    with serving(lambda connection: connection.sendall(reply(other))) as url:
        monkeypatch.setenv("YC_METADATA_ADDR", url.partition("//")[2])
        connect_to(metadata_token=True)
        ok, message = press_test()
    assert not ok
    assert message.startswith(
        "The service account of this machine (metadata_token) is wrong, deleted or disabled: "
        "unknown Authorization: Bearer ***"
    )


def test_token_is_shared_by_all_requests(cloud: Cloud, connect_to: Connect) -> None:
    connect_to(metadata_token=True)
    hook = YandexVisionHook(CONN_ID)
    assert len(list(hook.copy_search(images(100)))) == 100
    hook.batch_analyze([image("memory://a")])
    assert cloud.tokens_issued == 1


@pytest.mark.parametrize("kind", ["metadata_token", "service_account_json"])
def test_10000_images_are_searched_once_each_though_tokens_are_replaced(
    cloud: Cloud, connect_to: Connect, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service rejects the old token from one request to the next, while others are in flight."""
    replaced = iter([2_000, 5_000, 7_000, 9_000])
    limits = [next(replaced)]
    accept = cloud.searched_images

    def count(images: int) -> None:
        accept(images)
        if limits and cloud.searched >= limits[-1]:
            cloud.replace_token()
            limits.append(next(replaced, 1_000_000))

    monkeypatch.setattr(cloud, "searched_images", count)
    connect_to(**{kind: True if kind == "metadata_token" else authorized_key()})
    hook = YandexVisionHook(CONN_ID, requests_per_second=1e6)
    statuses = {result.uri: result.status for result in hook.copy_search(images(10_000))}
    assert set(statuses.values()) == {"none"}
    assert len(statuses) == cloud.searched == 10_000
    assert cloud.tokens_issued == 5
    assert 4 <= cloud.rejected <= 4 * hook.settings.max_concurrent_requests
