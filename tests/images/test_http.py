"""Against servers on loopback, which the tests allow."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from airflow_provider_yandex_vision.images import http
from airflow_provider_yandex_vision.images.http import MAX_REDIRECTS, Web, embedded_ipv4, is_public
from airflow_provider_yandex_vision.images.urls import list_images
from airflow_provider_yandex_vision.vision import Content
from airflow_provider_yandex_vision.vision.errors import ConfigurationError, ImageRejectedError, ImageUnreadableError
from tests.images.conftest import prepare
from tests.support.hostile import FORGERY, forges
from tests.support.loopback import Loopback, Request, reply, serving, tls_context
from tests.support.pictures import png

MAX_BYTES = 10_000
OK = reply(b"image", 'ETag: W/"v1"')

Page: TypeAlias = "bytes | Callable[[socket.socket], object]"
"""A reply, or something that writes one."""


class Site:
    """A server with pages by path, and what it was asked."""

    def __init__(self, stack: ExitStack, tls: Any = None) -> None:
        self.pages: dict[str, Page | list[Any]] = {}
        self.heads: list[str] = []
        self.connections: set[int] = set()
        server = Loopback(self._answer, tls)
        stack.callback(server.close)
        self.port = server.port
        self.url = f"{'https' if tls else 'http'}://localhost:{server.port}"

    @property
    def gets(self) -> list[str]:
        return [head.split(" ")[1] for head in self.heads if head.startswith("GET")]

    def _answer(self, connection: socket.socket, request: Request) -> None:
        method, path, _ = request.head.split(" ", 2)
        self.heads.append(request.head)
        self.connections.add(connection.getpeername()[1])
        page = self.pages.get(path, reply(b"", status="404 Not Found"))
        if isinstance(page, list):
            page = page.pop(0) if len(page) > 1 else page[0]
        if callable(page):
            page(connection)
        else:
            connection.sendall(page if method == "GET" else page.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "RETRY_SECONDS", (0, 0))


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def site(stack: ExitStack) -> Site:
    return Site(stack)


@pytest.fixture
def web() -> Web:
    return loopback_allowed()


def loopback_allowed(*networks: str) -> Web:
    return Web(MAX_BYTES, tuple(map(ip_network, networks or ("127.0.0.0/8", "::1/128"))))


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[list[str]]]:
    """Addresses of names that end in ``.test``, by lookup: the first ones are for the first.

    Nothing is looked up on the network, not even addresses, which mean what they mean to the system.
    """
    answers: dict[str, list[list[str]]] = {}
    look_up = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, *args: Any, **options: Any) -> Any:
        if host == "localhost":
            return look_up(host, port, *args, **options)
        if host.endswith(".test"):
            host.encode("idna")
            found = answers[host].pop(0) if answers.get(host) else []
        else:
            found = [host if ":" in host else socket.inet_ntoa(socket.inet_aton(host))]
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        families = {4: socket.AF_INET, 6: socket.AF_INET6}
        stream = socket.SOCK_STREAM
        return [(families[ip_address(each).version], stream, 6, "", (each, port)) for each in found]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return answers


def test_image_is_read_with_its_etag(site: Site, web: Web) -> None:
    site.pages["/a.jpg?size=1"] = OK
    image = web.image(f"{site.url}/a.jpg?size=1")
    content = image.read()
    assert isinstance(content, Content)
    assert (content, content.etag, image.etag) == (b"image", "v1", "v1")


@pytest.mark.parametrize(
    ("headers", "etag"),
    [
        (['ETag: "v1"', "Last-Modified: today"], "v1"),
        (["Last-Modified: today"], "today"),
        ([], None),
        (["ETag: " + "x" * 1000], None),
        (["ETag: a\0b"], None),
    ],
)
def test_etag_is_one_that_can_be_stored(site: Site, web: Web, headers: list[str], etag: str | None) -> None:
    site.pages["/a.jpg"] = reply(b"image", *headers)
    assert web.image(f"{site.url}/a.jpg").etag == web.read(f"{site.url}/a.jpg").etag == etag


def test_server_that_refuses_head_is_read_all_the_same(site: Site, web: Web) -> None:
    site.pages["/a.jpg"] = [reply(b"", 'ETag: "no"', status="405 Method Not Allowed"), OK]
    image = web.image(f"{site.url}/a.jpg")
    assert (image.etag, image.read()) == (None, b"image")


def test_no_credentials_cookies_or_proxies_are_used(
    site: Site, web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("machine localhost login user password secret")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("HOME", str(tmp_path))
    for proxy in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(proxy, "http://10.0.0.1:3128")
    site.pages["/a.jpg"] = reply(
        b"", "Set-Cookie: session=1", f"Location: http://user:secret@localhost:{site.port}/b.jpg", status="302 Found"
    )
    site.pages["/b.jpg"] = OK
    assert web.read(f"{site.url}/a.jpg") == b"image"
    sent = {line.partition(":")[0].lower() for head in site.heads for line in head.splitlines()[1:] if line}
    assert sent == {"host", "accept", "accept-encoding", "user-agent"}
    assert all(f"Host: localhost:{site.port}" in head for head in site.heads)


def test_connections_are_reused(site: Site, web: Web) -> None:
    site.pages["/a.jpg"] = OK
    for _ in range(3):
        assert web.image(f"{site.url}/a.jpg").read() == b"image"
    assert (len(site.heads), len(site.connections)) == (6, 1)


class TestSize:
    def test_announced_size_is_checked_before_reading(self, site: Site, web: Web) -> None:
        site.pages["/a.jpg"] = reply(b"", length=MAX_BYTES + 1)
        with pytest.raises(ImageRejectedError, match="more than 10,000 bytes"):
            web.read(f"{site.url}/a.jpg")

    def test_size_that_is_not_announced_is_checked_while_reading(self, site: Site, web: Web) -> None:
        written = 0

        def endless(connection: socket.socket) -> None:
            nonlocal written
            connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                connection.sendall(b"3e8\r\n" + b"x" * 1000 + b"\r\n")
                written += 1000

        site.pages["/a.jpg"] = endless
        with pytest.raises(ImageRejectedError) as caught:
            web.read(f"{site.url}/a.jpg")
        assert caught.value.code == "TOO_LARGE"
        assert written < 50_000_000

    def test_largest_allowed_image_is_read(self, site: Site, web: Web) -> None:
        site.pages["/a.jpg"] = reply(b"x" * MAX_BYTES)
        assert len(web.read(f"{site.url}/a.jpg")) == MAX_BYTES

    def test_packed_reply_is_not_unpacked(self, site: Site, web: Web) -> None:
        site.pages["/a.jpg"] = reply(b"\x1f\x8bpacked", "Content-Encoding: gzip")
        assert web.read(f"{site.url}/a.jpg") == b"\x1f\x8bpacked"

    @pytest.mark.parametrize(
        "drip",
        [
            b"HTTP/1.1 200 OK\r\nX-Slow: ",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;",
            b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
        ],
        ids=["headers", "chunk extensions", "content", "content of unknown length"],
    )
    def test_trickling_image_is_given_up(self, drip: bytes) -> None:
        stop = threading.Event()

        def trickle(connection: socket.socket) -> None:
            connection.sendall(drip)
            with suppress(OSError):
                while not stop.wait(0.02):
                    connection.sendall(b"x")

        web = Web(10_000, allowed=(ip_network("127.0.0.0/8"), ip_network("::1/128")), max_seconds=0.3)
        with (
            serving(trickle) as url,
            pytest.raises(ImageUnreadableError, match=r"took longer than 0\.3 seconds") as caught,
        ):
            web.read(f"{url}/a.jpg")
        stop.set()
        assert caught.value.code == "TIMEOUT"

    def test_limit_is_that_of_the_task(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRFLOW__YANDEX_VISION__ALLOWED_NETWORKS", "127.0.0.0/8, ::1/128")
        site.pages["/a.jpg"] = reply(png("a"))
        url = f"{site.url}/a.jpg"
        with pytest.raises(ImageRejectedError, match="more than 10 bytes"):
            next(list_images(url, max_image_bytes=10)).read()
        assert next(list_images(url, max_image_bytes=10, convert=True)).read() == png("a")


class TestRedirects:
    def test_as_many_as_allowed_are_followed(self, site: Site, web: Web) -> None:
        for number in range(MAX_REDIRECTS + 1):
            site.pages[f"/{number}"] = reply(b"", f"Location: {number + 1}", status="301 Moved")
        site.pages[f"/{MAX_REDIRECTS + 1}"] = OK
        assert web.read(f"{site.url}/1") == b"image"
        with pytest.raises(ImageUnreadableError, match="more than 5 redirects"):
            web.read(f"{site.url}/0")

    @pytest.mark.parametrize(
        ("target", "reason"),
        [
            ("http://10.0.0.1/a.jpg", "10.0.0.1 has no public address"),
            ("//169.254.169.254/latest", "169.254.169.254 has no public address"),
            ("http://127.0.0.2:1/a.jpg", "127.0.0.2 has no public address"),
            ("file:///etc/passwd", "not an http:// or https:// URL"),
            ("http://[::1", "invalid URL|not a valid URL"),
        ],
    )
    def test_each_target_is_checked(self, site: Site, target: str, reason: str) -> None:
        site.pages["/a.jpg"] = reply(b"", f"Location: {target}", status="302 Found")
        with pytest.raises(ImageUnreadableError, match=reason):
            loopback_allowed("127.0.0.1/32", "::1/128").read(f"{site.url}/a.jpg")


class TestAddresses:
    @pytest.mark.parametrize(
        "host",
        [
            "localhost",
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f.0.0.1",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.0.1",
            "100.64.0.1",
            "169.254.169.254",
            "224.0.0.1",
            "255.255.255.255",
            "[::]",
            "[::1]",
            "[fe80::1]",
            "[fec0::1]",
            "[fd00::1]",
            "[ff02::1]",
            "[::ffff:127.0.0.1]",
            "[::127.0.0.1]",
            "[64:ff9b::10.0.0.1]",
            "[64:ff9b:1::10.0.0.1]",
            "[2002:7f00:1::]",
            "[2001:0:4136:e378:8000:63bf:80ff:fffe]",
        ],
    )
    def test_private_address_is_refused(self, host: str) -> None:
        with pytest.raises(ImageUnreadableError, match="has no public address") as caught:
            Web(MAX_BYTES, ()).read(f"http://{host}/a.jpg")
        assert caught.value.code == "PRIVATE_ADDRESS"

    @pytest.mark.parametrize(
        "address", ["93.184.216.34", "2606:4700:4700::1111", "64:ff9b::93.184.216.34", "2002:5db8:d822::"]
    )
    def test_public_address_is_accepted(self, address: str) -> None:
        found = ip_address(address)
        assert is_public(embedded_ipv4(found) or found)

    def test_address_that_was_checked_is_the_one_connected_to(
        self, site: Site, names: dict[str, list[list[str]]]
    ) -> None:
        site.pages["/a.jpg"] = OK
        names["rebinding.test"] = [["127.0.0.1"], ["127.0.0.2"]]
        web = loopback_allowed("127.0.0.1/32")
        assert web.read(f"http://rebinding.test:{site.port}/a.jpg") == b"image"
        with pytest.raises(ImageUnreadableError, match=r"rebinding.test has no public address"):
            web.read(f"http://rebinding.test:{site.port}/a.jpg")
        assert f"Host: rebinding.test:{site.port}" in site.heads[0]

    def test_only_the_allowed_addresses_of_a_host_are_used(self, site: Site, names: dict[str, list[list[str]]]) -> None:
        site.pages["/a.jpg"] = OK
        names["mixed.test"] = [["10.0.0.1", "127.0.0.1"]]
        assert loopback_allowed("127.0.0.0/8").read(f"http://mixed.test:{site.port}/a.jpg") == b"image"

    def test_next_address_is_tried_if_one_is_dead(
        self, site: Site, web: Web, names: dict[str, list[list[str]]]
    ) -> None:
        site.pages["/a.jpg"] = OK
        names["half-dead.test"] = [["127.0.0.2", "127.0.0.1"]]
        assert web.read(f"http://half-dead.test:{site.port}/a.jpg") == b"image"

    def test_airflow_configuration_allows_networks(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        site.pages["/a.jpg"] = reply(png("a"))
        (refused,) = list_images(f"{site.url}/a.jpg")
        with pytest.raises(ImageUnreadableError, match=r"\[yandex_vision\] allowed_networks in Airflow's conf"):
            prepare(refused)
        assert site.heads == []
        monkeypatch.setenv("AIRFLOW__YANDEX_VISION__ALLOWED_NETWORKS", "10.0.0.0/8, 127.0.0.0/8,::1/128")
        (image,) = list_images(f"{site.url}/a.jpg")
        assert prepare(image).size == len(png("a"))

    @pytest.mark.parametrize("networks", ["images.internal", "10.0.0.1/8"])
    def test_wrong_configuration_is_an_error_that_names_the_option(
        self, networks: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AIRFLOW__YANDEX_VISION__ALLOWED_NETWORKS", networks)
        with pytest.raises(ConfigurationError, match=r"\[yandex_vision\] allowed_networks must be networks"):
            list_images("https://localhost/a.jpg")


class TestFailures:
    @pytest.mark.parametrize(
        ("status", "code", "requests"),
        [(404, "GONE", 1), (410, "GONE", 1), (403, "UNREADABLE", 1), (503, "UNREADABLE", 3)],
    )
    def test_status_is_the_reason(self, site: Site, web: Web, status: int, code: str, requests: int) -> None:
        site.pages["/a.jpg"] = reply(b"sorry", status=f"{status} {FORGERY.splitlines()[0]}")
        with pytest.raises(ImageUnreadableError, match=rf"^the server answered HTTP {status}$") as caught:
            web.read(f"{site.url}/a.jpg")
        assert (caught.value.code, len(site.gets)) == (code, requests)

    @pytest.mark.parametrize(
        "failure",
        [
            reply(b"", status="429 Too Many Requests"),
            reply(b"", "Retry-After: 3600", status="503 Service Unavailable"),
            reply(b"ima", length=5),
        ],
    )
    def test_temporary_failure_is_retried(self, site: Site, web: Web, failure: bytes) -> None:
        def cut(connection: socket.socket) -> None:
            connection.sendall(failure)
            if b"200 OK" in failure:
                connection.shutdown(socket.SHUT_WR)

        site.pages["/a.jpg"] = [cut, cut, OK]
        assert web.read(f"{site.url}/a.jpg") == b"image"

    def test_truncated_image_is_never_taken_for_whole(self, site: Site, web: Web) -> None:
        def cut(connection: socket.socket) -> None:
            connection.sendall(reply(b"ima", length=5))
            connection.shutdown(socket.SHUT_WR)

        site.pages["/a.jpg"] = cut
        with pytest.raises(ImageUnreadableError, match=r"^reading failed: "):
            web.read(f"{site.url}/a.jpg")

    def test_refused_connection_is_one_plain_sentence(self, web: Web) -> None:
        with socket.create_server(("127.0.0.1", 0)) as unused:
            port = unused.getsockname()[1]
        with pytest.raises(ImageUnreadableError) as caught:
            web.read(f"http://127.0.0.1:{port}/a.jpg")
        assert str(caught.value) == "no reply from 127.0.0.1: Connection refused"

    def test_unknown_host_is_one_plain_sentence(self, web: Web, names: dict[str, list[list[str]]]) -> None:
        with pytest.raises(ImageUnreadableError) as caught:
            web.read("http://unknown.test/a.jpg")
        assert str(caught.value) == "cannot resolve unknown.test: Name or service not known"

    @pytest.mark.parametrize(
        "url",
        [
            "http://[::1/a.jpg",
            "http://127.0.0.1:port/a.jpg",
            "http://127.0.0.1:99999/a.jpg",
            f"http://{'a' * 70}.test/a.jpg",
            "http:///a.jpg",
            "http://a..test/a.jpg",
            f"http://{FORGERY}.test/a.jpg",
        ],
    )
    def test_odd_url_costs_only_its_image(self, web: Web, names: dict[str, list[list[str]]], url: str) -> None:
        image = web.image(url)
        with pytest.raises(ImageUnreadableError) as caught:
            image.read()
        assert not forges(str(caught.value))

    @pytest.mark.parametrize("path", ["/a b.jpg", "/котик.jpg", "/a%20b.jpg", "/a.jpg\r\nX-Forged: 1"])
    def test_odd_path_stays_one_path(self, site: Site, web: Web, path: str) -> None:
        with pytest.raises(ImageUnreadableError, match="HTTP 404"):
            web.read(f"{site.url}{path}")
        assert site.gets[0].startswith("/")
        assert "X-Forged" not in [line.partition(":")[0] for line in site.heads[0].splitlines()]


class TestTls:
    @pytest.fixture
    def safe(self, stack: ExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
        """A site whose certificate, for ``localhost``, is trusted."""
        site = Site(stack, tls_context(tmp_path / "authority.pem"))
        site.pages["/a.jpg"] = OK
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "authority.pem"))
        return site

    def test_https_is_read(self, safe: Site) -> None:
        assert loopback_allowed().read(f"{safe.url}/a.jpg") == b"image"

    def test_certificate_is_checked(self, safe: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("REQUESTS_CA_BUNDLE")
        with pytest.raises(ImageUnreadableError, match=r"^no reply from localhost: (self|unable)[a-z -]*cert"):
            loopback_allowed().read(f"{safe.url}/a.jpg")

    def test_certificate_must_be_for_the_host_not_the_address(
        self, safe: Site, names: dict[str, list[list[str]]]
    ) -> None:
        names["other.test"] = [["127.0.0.1"]]
        with pytest.raises(ImageUnreadableError, match=r"no reply from other.test: .*'other.test'"):
            loopback_allowed().read(f"https://other.test:{safe.port}/a.jpg")


class TestUrls:
    @pytest.mark.parametrize(
        "url",
        [
            "https://cdn.test/",
            "https://cdn.test",
            "https://cdn.test/a/",
            "https://cdn.test/*.jpg",
            "HTTP://cdn.test/a/?b",
        ],
    )
    def test_nothing_is_listed_over_http(self, url: str) -> None:
        for images in (url, [url, "file:///a.jpg"]):
            with pytest.raises(ConfigurationError, match=r"^nothing can be listed over https?: name each image, not "):
                list_images(images)

    def test_password_in_a_url_is_refused_and_not_shown(self) -> None:
        with pytest.raises(ConfigurationError) as caught:
            list_images("https://user:hunter2@cdn.test/a.jpg")
        assert str(caught.value) == "https:// URLs take no connection, user or password"

    def test_uri_is_the_url_without_its_fragment(self, names: dict[str, list[list[str]]]) -> None:
        url = "HTTPS://cdn.test/a.jpg?b=/&c=1"
        assert [image.uri for image in list_images([f"{url}#top", {"https://cdn.test/": ["*.jpg"]}], "storage")] == [
            "https://cdn.test/a.jpg?b=/&c=1",
            "https://cdn.test/*.jpg",
        ]

    def test_missing_image_of_a_list_costs_only_itself(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRFLOW__YANDEX_VISION__ALLOWED_NETWORKS", "127.0.0.0/8,::1/128")
        site.pages["/a.jpg"] = reply(png("a"), 'ETag: "v1"')
        present, missing = list_images([f"{site.url}/a.jpg", f"{site.url}/b.jpg"])
        assert prepare(present).etag == "v1"
        with pytest.raises(ImageUnreadableError, match="HTTP 404"):
            prepare(missing)
