"""The key reaches the service and nothing else."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from airflow_provider_yandex_vision.vision import ApiKey, VisionClient
from tests.support.loopback import Answer, reply, serving
from tests.support.proxy import pump
from tests.support.secrets import API_KEY
from tests.vision.conftest import answer, error_of, new_client, prepared

OUR_KEY = [f"Api-Key {API_KEY}"]


def values(head: str, name: str) -> list[str]:
    """Values of all headers with that name."""
    headers = (line.partition(": ") for line in head.splitlines())
    return [value for each, _, value in headers if each.lower() == name]


def tunnel_to(url: str) -> Answer:
    """Answer CONNECT as a proxy does."""

    def tunnel(near: socket.socket) -> None:
        with socket.create_connection(("localhost", urlsplit(url).port or 443)) as far:
            near.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            threading.Thread(target=pump, args=(far, near), daemon=True).start()
            pump(near, far)

    return tunnel


class TestKey:
    @pytest.mark.parametrize("by_name", [True, False], ids=["NETRC", "~/.netrc"])
    def test_is_not_replaced_by_netrc(self, by_name: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        netrc = tmp_path / ".netrc"
        netrc.write_text("machine localhost login somebody password else\ndefault login anybody password else\n")
        netrc.chmod(0o600)
        monkeypatch.delenv("NETRC", raising=False)
        monkeypatch.setenv(*("NETRC", str(netrc)) if by_name else ("HOME", str(tmp_path)))
        heads: list[str] = []
        with serving(answer, heads=heads) as url:
            assert requests.post(url, data=b"").ok
            new_client(host=url).batch_analyze(prepared())
        theirs, ours = (values(head, "authorization") for head in heads)
        assert theirs[0].startswith("Basic "), "netrc is not read: the test proves nothing"
        assert ours == OUR_KEY

    @pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
    def test_is_not_sent_as_proxy_authorization(self, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
        heads: list[str] = []
        with serving(answer, heads=heads) as proxy:
            monkeypatch.setenv(variable, proxy.replace("//", "//user:word@"))
            new_client(host="http://vision.test").batch_analyze(prepared())
        assert [values(head, "authorization") for head in heads] == [OUR_KEY]
        assert [values(head, "proxy-authorization") for head in heads] == [["Basic dXNlcjp3b3Jk"]]

    @pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
    def test_is_not_seen_by_a_proxy_that_tunnels_https(
        self, variable: str, tls: ssl.SSLContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[str] = []
        heads: list[str] = []
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
        with serving(answer, tls=tls, heads=heads) as url, serving(tunnel_to(url), heads=asked) as proxy:
            monkeypatch.setenv(variable, proxy.replace("//", "//user:word@"))
            client = new_client(host=url.replace("localhost", "vision.test"))
            client.batch_analyze(prepared())
            client.close()
        assert [head.split()[0] for head in asked] == ["CONNECT"]
        assert values(asked[0], "proxy-authorization") == ["Basic dXNlcjp3b3Jk"]
        assert API_KEY not in asked[0]
        assert [values(head, "authorization") for head in heads] == [OUR_KEY]
        assert [values(head, "proxy-authorization") for head in heads] == [[]]

    @pytest.mark.parametrize("variable", ["NO_PROXY", "no_proxy"])
    def test_bypasses_the_proxy_as_no_proxy_says(self, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[str] = []
        heads: list[str] = []
        with serving(answer, heads=heads) as url, serving(answer, heads=asked) as proxy:
            monkeypatch.setenv("HTTP_PROXY", proxy)
            monkeypatch.setenv(variable, "elsewhere.test,vision.test")
            assert new_client(host="http://vision.test").proxy is None
            assert new_client(host="http://other.test").proxy
            new_client(host=url).batch_analyze(prepared())
        assert (len(heads), asked) == (1, [])

    @pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "127.8.9.1"])
    @pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY"])
    def test_takes_no_proxy_to_this_machine(self, name: str, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
        heads: list[str] = []
        with serving(answer, heads=heads) as url, serving(answer) as proxy:
            monkeypatch.setenv(variable, proxy)
            client = new_client(host=url.replace("localhost", name))
            assert client.proxy is None
            if name != "127.8.9.1":
                client.batch_analyze(prepared())
                assert len(heads) == 1

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_does_not_follow_a_redirect(self, status: int) -> None:
        elsewhere: list[str] = []
        with serving(answer, heads=elsewhere) as other:
            moved = reply(b"", f"Location: {other}/", status=f"{status} Moved")
            with serving(lambda connection: connection.sendall(moved)) as url:
                assert "redirects are not followed" in error_of(new_client(host=url)).message
        assert elsewhere == []

    @pytest.mark.parametrize(
        "raw",
        [
            reply(b"{}", f"x-request-id: {API_KEY}", f"x-server-trace-id: Api-Key {API_KEY}", status="500 Echo"),
            f"Authorization: Api-Key {API_KEY}\r\n\r\n".encode(),
        ],
        ids=["headers", "not HTTP"],
    )
    def test_is_hidden_if_anything_echoes_it(self, raw: bytes) -> None:
        def echo(connection: socket.socket) -> None:
            connection.sendall(raw)
            connection.shutdown(socket.SHUT_RDWR)

        with serving(echo) as url:
            assert "***" in str(error_of(new_client(host=url)))


def refusal(body: bytes, key: str = API_KEY) -> str:
    """What is said about a reply with HTTP 500 and that body."""
    with serving(lambda connection: connection.sendall(reply(body, status="500 Echo"))) as url:
        client = VisionClient(ApiKey(key), host=url)
        return error_of(client).message


def escaped(text: str) -> str:
    return "".join(f"\\u{ord(letter):04X}" for letter in text)


class TestEcho:
    """Of the key in a reply: it is found in what was decoded, however it was encoded."""

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
    @pytest.mark.parametrize("key", [API_KEY, escaped(API_KEY)], ids=["plain", "escaped"])
    @pytest.mark.parametrize("body", ['{"code": 13, "message": "no KEY"}', '["no KEY"]', "<h1>no KEY</h1>"])
    def test_in_an_error_is_hidden(self, encoding: str, key: str, body: str) -> None:
        shown = refusal(body.replace("KEY", key).encode(encoding))
        assert "no ***" in shown
        assert API_KEY not in shown.replace("\0", "").replace("\ufffd", "")

    @pytest.mark.parametrize("level", ["file", "page"])
    def test_in_a_result_is_hidden(self, level: str) -> None:
        page = {"title": f"shows {API_KEY}", "pageUrl": f"https://a.test/?{API_KEY}", "description": "x"}
        parts: dict[str, Any] = {
            "file": {"error": {"code": 13, "message": f"bad {API_KEY}"}},
            "page": {"results": [{"imageCopySearch": {"topResults": [page], "copyCount": 1}}]},
        }
        body = json.dumps({"results": [parts[level]]}).replace(API_KEY, escaped(API_KEY)).encode()
        with serving(lambda connection: connection.sendall(reply(body))) as url:
            (result,) = new_client(host=url).batch_analyze(prepared())
        text = repr(result)
        assert "***" in text
        assert API_KEY not in text

    @pytest.mark.parametrize(
        ("words", "shown"),
        [
            ("monkey and key-ring of a turnkey", "monkey and key-ring of a turnkey"),
            ("Api-Key: key", "Api-Key: ***"),
            ("(key),\nkey", "(***),\n***"),
            ("ключ=key", "ключ=***"),
        ],
    )
    def test_of_a_short_key_is_hidden_where_it_stands_alone(self, words: str, shown: str) -> None:
        assert refusal(json.dumps({"code": 13, "message": words}).encode(), "key") == shown


def test_proxy_password_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:swordfish@127.0.0.1:99999")
    assert "swordfish" not in str(error_of(new_client()))
