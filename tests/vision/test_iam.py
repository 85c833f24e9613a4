from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from airflow_provider_yandex_vision.vision import iam
from airflow_provider_yandex_vision.vision.credentials import Token
from airflow_provider_yandex_vision.vision.errors import (
    AuthenticationError,
    ConfigurationError,
    UnavailableError,
)
from airflow_provider_yandex_vision.vision.iam import AuthorizedKey, metadata_token
from tests.support.cloud import AUDIENCE, Cloud, running_cloud
from tests.support.loopback import Loopback, Request, reply, serving
from tests.support.secrets import ACCOUNT, IAM_TOKEN, authorized_key, private_key, to_pem

NOW = datetime(2026, 1, 1, 12, tzinfo=timezone.utc).timestamp()


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    with running_cloud() as cloud:
        monkeypatch.setenv("YC_METADATA_ADDR", cloud.address)
        yield cloud


@pytest.fixture
def key(cloud: Cloud) -> AuthorizedKey:
    return AuthorizedKey(authorized_key(), endpoint=cloud.url, now=lambda: NOW)


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(iam, "TIMEOUTS", (0.1, 0.1))


class TestMetadataService:
    def test_gives_a_token(self, cloud: Cloud) -> None:
        assert metadata_token() == Token(f"{IAM_TOKEN}-1", 43200)

    def test_is_asked_at_its_link_local_address_by_default(self, monkeypatch: pytest.MonkeyPatch) -> None:
        urls: list[str] = []

        def ask(service: str, request: Any, **options: object) -> dict[str, object]:
            urls.append(request.url)
            return {"access_token": IAM_TOKEN, "expires_in": 60}

        monkeypatch.delenv("YC_METADATA_ADDR", raising=False)
        monkeypatch.setattr(iam, "_ask", ask)
        metadata_token()
        assert urls == [
            "http://169.254.169.254/computeMetadata/v1/instance/service-accounts/default/token",
        ]

    def test_is_asked_directly(self, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
        """A proxy would answer for its own machine."""
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        assert metadata_token().value == f"{IAM_TOKEN}-1"

    def test_without_a_service_account_says_what_to_do(self, cloud: Cloud) -> None:
        cloud.status = 404
        with pytest.raises(AuthenticationError) as caught:
            metadata_token()
        assert str(caught.value) == (
            f"the metadata service at {cloud.address} refused: metadata says 404; "
            "link a service account to this machine (HTTP 404)"
        )

    @pytest.mark.parametrize("status", [408, 409, 425, 429, 499, 500, 503])
    def test_may_be_unavailable_for_a_while(self, cloud: Cloud, status: int) -> None:
        cloud.status = status
        with pytest.raises(UnavailableError, match=f"failed: metadata says {status}"):
            metadata_token()

    def test_that_is_absent_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            address = f"127.0.0.1:{closed.getsockname()[1]}"
        monkeypatch.setenv("YC_METADATA_ADDR", address)
        with pytest.raises(UnavailableError) as caught:
            metadata_token()
        assert str(caught.value) == f"no reply from the metadata service at {address}: Connection refused"

    @pytest.mark.usefixtures("hurried")
    def test_that_does_not_reply_is_not_waited_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with serving(lambda connection: None) as url:
            monkeypatch.setenv("YC_METADATA_ADDR", url.partition("//")[2])
            with pytest.raises(UnavailableError, match=r"no reply from the metadata service at .*: timed out"):
                metadata_token()

    @pytest.mark.parametrize("lifetime", [None, "soon", 0, -1, float("nan"), float("inf")])
    def test_with_a_wrong_lifetime_is_refused(self, cloud: Cloud, lifetime: Any) -> None:
        cloud.lifetime = lifetime
        with pytest.raises(UnavailableError, match="has no valid token"):
            metadata_token()

    @pytest.mark.parametrize("token", ["", f"{IAM_TOKEN}\r\nX-Evil: 1", f"{IAM_TOKEN} ", None, 17])
    def test_with_a_wrong_token_is_refused_without_showing_it(self, cloud: Cloud, token: Any) -> None:
        cloud.token = token
        with pytest.raises(UnavailableError, match="has no valid token"):
            metadata_token()

    @pytest.mark.parametrize("body", [b"<html>", b"[]", b"", b"\xff"])
    def test_that_is_something_else_is_refused(self, body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
        with serving(lambda connection: connection.sendall(reply(body))) as url:
            monkeypatch.setenv("YC_METADATA_ADDR", url.partition("//")[2])
            with pytest.raises(UnavailableError, match=r"the reply of the metadata service at .* is not a JSON object"):
                metadata_token()

    def test_is_not_left_for_a_redirect(self, monkeypatch: pytest.MonkeyPatch) -> None:
        elsewhere: list[str] = []
        with serving(lambda connection: connection.sendall(reply(b"{}")), heads=elsewhere) as other:
            moved = reply(b"", f"Location: {other}/", status="302 Moved")
            with serving(lambda connection: connection.sendall(moved)) as url:
                monkeypatch.setenv("YC_METADATA_ADDR", url.partition("//")[2])
                with pytest.raises(UnavailableError, match="HTTP 302"):
                    metadata_token()
        assert elsewhere == []


class TestAuthorizedKey:
    def test_is_exchanged_for_a_token(self, cloud: Cloud, key: AuthorizedKey) -> None:
        """IAM checks signature, algorithm and key id of the JWT."""
        cloud.expires_at = "2026-01-02T00:00:00.987654321Z"
        assert key.token() == Token(f"{IAM_TOKEN}-1", 12 * 60 * 60)
        assert cloud.claims == [{"iss": ACCOUNT, "aud": AUDIENCE, "iat": int(NOW), "exp": int(NOW) + 3600}]

    def test_needs_no_preamble(self, cloud: Cloud) -> None:
        text = authorized_key(private_key=to_pem(private_key()))
        assert AuthorizedKey(text, endpoint=f"{cloud.url}/").token().value == f"{IAM_TOKEN}-1"

    def test_signs_a_new_jwt_each_time(self, cloud: Cloud) -> None:
        times = iter([NOW, NOW + 3600])
        key = AuthorizedKey(authorized_key(), endpoint=cloud.url, now=lambda: next(times))
        key.token()
        key.token()
        assert [claims["iat"] for claims in cloud.claims] == [int(NOW), int(NOW) + 3600]

    @pytest.mark.parametrize("expires_at", ["2026-01-01T12:00:00Z", "soon", "", None, 1767268800, {"seconds": 1}])
    def test_with_a_token_that_is_no_longer_valid_is_refused(
        self, cloud: Cloud, key: AuthorizedKey, expires_at: Any
    ) -> None:
        cloud.expires_at = expires_at
        with pytest.raises(UnavailableError, match="has no valid token"):
            key.token()

    def test_of_somebody_else_says_what_to_do(self, cloud: Cloud) -> None:
        text = authorized_key(private_key=to_pem(rsa.generate_private_key(65537, 2048)))
        with pytest.raises(AuthenticationError) as caught:
            AuthorizedKey(text, endpoint=cloud.url).token()
        assert str(caught.value).startswith(f"IAM at {cloud.url} refused: wrong JWT ***: ")
        assert str(caught.value).endswith("; check the key and this machine's clock (HTTP 401)")

    def test_is_not_shown_if_iam_echoes_the_jwt(self, cloud: Cloud, key: AuthorizedKey) -> None:
        cloud.status = 503
        with pytest.raises(UnavailableError) as caught:
            key.token()
        assert str(caught.value) == f"IAM at {cloud.url} failed: IAM says 503, JWT *** (HTTP 503)"

    def test_is_not_shown_if_something_else_echoes_the_jwt(self) -> None:
        def echo(connection: socket.socket, request: Request) -> None:
            connection.sendall(request.body + b"\r\n\r\n")
            connection.shutdown(socket.SHUT_RDWR)

        server = Loopback(echo)
        try:
            with pytest.raises(UnavailableError, match="no reply from IAM"):
                AuthorizedKey(authorized_key(), endpoint=f"http://127.0.0.1:{server.port}").token()
        finally:
            server.close()

    def test_uses_the_proxy_from_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        heads: list[str] = []
        body = json.dumps({"iamToken": IAM_TOKEN, "expiresAt": "2099-01-01T00:00:00Z"}).encode()
        with serving(lambda connection: connection.sendall(reply(body)), heads=heads) as proxy:
            monkeypatch.setenv("HTTP_PROXY", proxy)
            assert AuthorizedKey(authorized_key(), endpoint="http://iam.test").token().value == IAM_TOKEN
        assert heads[0].startswith("POST http://iam.test/iam/v1/tokens ")

    def test_is_not_replaced_by_netrc(self, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        netrc = tmp_path / "netrc"
        netrc.write_text("default login somebody password else\n")
        netrc.chmod(0o600)
        monkeypatch.setenv("NETRC", str(netrc))
        AuthorizedKey(authorized_key(), endpoint=cloud.url).token()
        assert "Authorization" not in cloud.requests[-1]

    def test_and_its_jwts_are_masked(self, cloud: Cloud) -> None:
        masked: list[str] = []
        key = AuthorizedKey(authorized_key(), endpoint=cloud.url, mask=masked.append)
        pem = to_pem(private_key()).strip()
        assert set(masked) >= {pem, *(line for line in pem.splitlines() if len(line) == 64)}
        assert "-----BEGIN PRIVATE KEY-----" not in masked
        del masked[:]
        key.token()
        [signed] = masked
        assert signed.count(".") == 2

    def test_is_in_no_repr(self, key: AuthorizedKey) -> None:
        assert "MII" not in f"{key} {key!r} {key.token!r} {vars(key)}"

    @pytest.mark.usefixtures("hurried")
    def test_is_not_waited_for_if_iam_drips(self) -> None:
        def drip(connection: socket.socket) -> None:
            connection.sendall(reply(b" ", length=1000))
            for _ in range(300):
                if stopped.wait(0.02):
                    break
                connection.sendall(b" ")

        stopped = threading.Event()
        with serving(drip) as url:
            with pytest.raises(UnavailableError, match="timed out"):
                AuthorizedKey(authorized_key(), endpoint=url).token()
            stopped.set()


class TestKeyFile:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "the authorized key is not JSON: use the whole file"),
            ("key.json", "the authorized key is not JSON: use the whole file"),
            ('"text"', "the authorized key is not a JSON object: use the whole file"),
            (
                '{"client_email": "a@b.test", "private_key": "x"}',
                "this is not an authorized key but a key of Google Cloud",
            ),
            (
                '{"api_key": {"id": "x"}, "secret": "x"}',
                "this is not an authorized key but an API key: put its secret into the password field",
            ),
            (
                '{"access_key": {"id": "x"}, "secret": "x"}',
                "this is not an authorized key but a static access key, which is for Object Storage",
            ),
            (
                '{"id": "x", "service_account_id": 7}',
                "the authorized key has no service_account_id, private_key: "
                "create one with `yc iam key create --output key.json`",
            ),
        ],
    )
    def test_of_another_kind_is_recognised(self, text: str, message: str) -> None:
        with pytest.raises(ConfigurationError) as caught:
            AuthorizedKey(text)
        assert str(caught.value) == message

    def test_that_is_cut_is_refused_without_showing_it(self) -> None:
        with pytest.raises(ConfigurationError, match="is not JSON"):
            AuthorizedKey(authorized_key()[:-10])

    def test_with_a_cut_private_key_is_refused_without_showing_it(self) -> None:
        pem = to_pem(private_key())
        for cut in (pem[:500], pem[100:], pem.replace("-----", ""), "no key"):
            with pytest.raises(ConfigurationError, match="private_key of the authorized key is not an RSA key in PEM"):
                AuthorizedKey(authorized_key(private_key=cut))

    def test_with_another_algorithm_is_refused(self) -> None:
        with pytest.raises(ConfigurationError, match="is not an RSA key in PEM: create a new key"):
            AuthorizedKey(authorized_key(private_key=to_pem(ec.generate_private_key(ec.SECP256R1()))))
