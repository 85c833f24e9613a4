"""The key reaches the service and nobody else; requests and replies reach no log."""

from __future__ import annotations

import base64
import http.client
import json
import logging
import socket
import ssl
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from airflow_provider_yandex_vision.vision import CopySearch, Settings
from airflow_provider_yandex_vision.vision.client import VisionClient
from tests.support.loopback import Answer, reply, serving
from tests.support.pictures import image, png
from tests.support.secrets import API_KEY
from tests.results.proxy import pump
from tests.vision.conftest import answer, checked, error_of

OUR_KEY = [f"Api-Key {API_KEY}"]


def values(head: str, name: str) -> list[str]:
    """Of all headers of that name."""
    headers = (line.partition(": ") for line in head.splitlines())
    return [value for each, _, value in headers if each.lower() == name]


def tunnel_to(url: str) -> Answer:
    """What a proxy does with CONNECT."""

    def tunnel(near: socket.socket) -> None:
        with socket.create_connection(("localhost", urlsplit(url).port or 443)) as far:
            near.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            threading.Thread(target=pump, args=(far, near), daemon=True).start()
            pump(near, far)

    return tunnel


class TestKey:
    @pytest.mark.parametrize("by_name", [True, False], ids=["NETRC", "~/.netrc"])
    def test_is_the_only_authorization_whatever_netrc_says(
        self, by_name: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        netrc = tmp_path / ".netrc"
        netrc.write_text("machine localhost login somebody password else\ndefault login anybody password else\n")
        netrc.chmod(0o600)
        monkeypatch.delenv("NETRC", raising=False)
        monkeypatch.setenv(*("NETRC", str(netrc)) if by_name else ("HOME", str(tmp_path)))
        heads: list[str] = []
        with serving(answer, heads=heads) as url:
            assert requests.post(url, data=b"").ok
            VisionClient(API_KEY, host=url).batch_analyze(checked("memory://a"))
        theirs, ours = (values(head, "authorization") for head in heads)
        assert theirs[0].startswith("Basic "), "netrc is not read: nothing is proven"
        assert ours == OUR_KEY

    @pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
    def test_is_not_what_a_proxy_is_told_to_be_let_through(
        self, variable: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        heads: list[str] = []
        with serving(answer, heads=heads) as proxy:
            monkeypatch.setenv(variable, proxy.replace("//", "//user:word@"))
            VisionClient(API_KEY, host="http://vision.test").batch_analyze(checked("memory://a"))
        assert [values(head, "authorization") for head in heads] == [OUR_KEY]
        assert [values(head, "proxy-authorization") for head in heads] == [["Basic dXNlcjp3b3Jk"]]

    @pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
    def test_is_not_seen_by_a_proxy_on_the_way_to_https(
        self, variable: str, tls: ssl.SSLContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[str] = []
        heads: list[str] = []
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
        with serving(answer, tls=tls, heads=heads) as url, serving(tunnel_to(url), heads=asked) as proxy:
            monkeypatch.setenv(variable, proxy.replace("//", "//user:word@"))
            client = VisionClient(API_KEY, host=url)
            client.batch_analyze(checked("memory://a"))
            client.close()
        assert [head.split()[0] for head in asked] == ["CONNECT"]
        assert values(asked[0], "proxy-authorization") == ["Basic dXNlcjp3b3Jk"]
        assert API_KEY not in asked[0]
        assert [values(head, "authorization") for head in heads] == [OUR_KEY]
        assert [values(head, "proxy-authorization") for head in heads] == [[]]

    @pytest.mark.parametrize("variable", ["NO_PROXY", "no_proxy"])
    def test_takes_no_proxy_where_none_is_wanted(self, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[str] = []
        heads: list[str] = []
        with serving(answer, heads=heads) as url, serving(answer, heads=asked) as proxy:
            monkeypatch.setenv("HTTP_PROXY", proxy)
            monkeypatch.setenv(variable, "elsewhere.test,localhost")
            VisionClient(API_KEY, host=url).batch_analyze(checked("memory://a"))
        assert (len(heads), asked) == (1, [])

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_goes_nowhere_else_by_a_redirect(self, status: int) -> None:
        elsewhere: list[str] = []
        with serving(answer, heads=elsewhere) as other:
            moved = reply(b"", f"Location: {other}/", status=f"{status} Moved")
            with serving(lambda connection: connection.sendall(moved)) as url:
                assert "redirects are not followed" in error_of(VisionClient(API_KEY, host=url)).message
        assert elsewhere == []

    @pytest.mark.parametrize(
        "raw",
        [
            reply(b"{}", f"x-request-id: {API_KEY}", f"x-server-trace-id: Api-Key {API_KEY}", status="500 Echo"),
            f"Authorization: Api-Key {API_KEY}\r\n\r\n".encode(),
        ],
        ids=["headers", "no HTTP at all"],
    )
    def test_is_hidden_where_anything_on_the_way_repeats_it(self, raw: bytes) -> None:
        def echo(connection: socket.socket) -> None:
            connection.sendall(raw)
            connection.shutdown(socket.SHUT_RDWR)

        with serving(echo) as url:
            assert "***" in str(error_of(VisionClient(API_KEY, host=url)))


def test_a_proxy_s_password_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:swordfish@127.0.0.1:99999")
    assert "swordfish" not in str(error_of(VisionClient(API_KEY)))


def test_nothing_of_a_request_or_a_reply_is_logged_at_any_level(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("", "urllib3", "http.client", "requests", "airflow_provider_yandex_vision"):
        caplog.set_level(logging.DEBUG, name)
    shown = {"pageUrl": "https://page.test/", "title": "Nobody may read this"}
    found = {"results": [{"imageCopySearch": {"copyCount": "1", "topResults": [shown]}}]}
    with serving(lambda connection: connection.sendall(reply(json.dumps({"results": [found]}).encode()))) as url:
        [result] = CopySearch(VisionClient(API_KEY, host=url), [image("memory://a")], Settings(linger=0))
    assert result.matches[0].title == shown["title"]
    logged = "\n".join((caplog.text, *map(repr, caplog.records), *capfd.readouterr()))
    assert "POST /vision/v1/batchAnalyze" in logged, "urllib3 says nothing: nothing is proven"
    for word in (base64.b64encode(png("memory://a")).decode(), "IMAGE_COPY_SEARCH", *shown.values()):
        assert word not in logged
    assert http.client.HTTPConnection.debuglevel == 0
