from __future__ import annotations

import re
import socket
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from random import Random

import pytest
from PIL import Image

from airflow_provider_yandex_vision.emulator.copies import CopyIndex
from airflow_provider_yandex_vision.emulator.pages import index_images
from airflow_provider_yandex_vision.emulator.server import running
from airflow_provider_yandex_vision.emulator.service import Service
from airflow_provider_yandex_vision.live import __main__ as live
from airflow_provider_yandex_vision.live import pictures
from airflow_provider_yandex_vision.live.service import LiveService
from tests.support.loopback import Loopback, Request, reply, serving
from tests.support.secrets import API_KEY

Run = Callable[..., int]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command with the key in the environment. :return: its exit status."""

    def run_with(*arguments: str, key: str = API_KEY) -> int:
        monkeypatch.setenv("YANDEX_VISION_API_KEY", key)
        monkeypatch.setattr(sys, "argv", ["live", *arguments])
        return live.main()

    return run_with


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A picture that is on two pages of :func:`emulated`."""
    file = tmp_path / "published.png"
    file.write_bytes(pictures.small(Random(1)))
    return file


def emulated(published: Path, *, plain_json: bool = False) -> Service:
    web = index_images({"https://a.example/1": published, "b.example/2": published})
    return Service(web, api_key=API_KEY, plain_json=plain_json)


def facts_in(table: str) -> dict[str, tuple[str, str]]:
    """What was seen and whether the documented fact holds, by fact."""
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines() if line[:1] == "|"]
    return {name: (seen, holds) for name, _, seen, holds in rows[2:]}


@pytest.mark.parametrize(
    ("plain_json", "count", "defaults"),
    [(False, "text", "left out"), (True, "number", "copyCount, topResults")],
)
def test_table_says_what_holds_in_both_printing_modes(
    plain_json: bool, count: str, defaults: str, run: Run, published: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running(emulated(published, plain_json=plain_json)) as url:
        assert run("--spend", "--host", url, "--published", str(published)) == 0
    assert facts_in(capsys.readouterr().out) == {
        "request without images": ("HTTP 400, INVALID_ARGUMENT", "yes"),
        "wrong key": ("HTTP 401, UNAUTHENTICATED", "yes"),
        "9 images in a request": ("HTTP 400, INVALID_ARGUMENT", "yes"),
        "image of 7,864,321 bytes": ("HTTP 400, INVALID_ARGUMENT", "yes"),
        "request of images": ("HTTP 200", "yes"),
        "header x-request-id": ("present", "yes"),
        "header x-server-trace-id": ("present", "yes"),
        "results": ("3", "yes"),
        "text instead of an image": ('INVALID_ARGUMENT "Can\'t decode Image", for the file', "yes"),
        "unpublished picture": ("0 copies", "yes"),
        "defaults of a picture without copies": (defaults, ""),
        "published picture": ("2 copies", "yes"),
        "copyCount": (count, ""),
        "topResults": ("2", "yes"),
        "pageUrl without a scheme": ("1 of 2", ""),
        "fields of a page": ("imageUrl, pageUrl, title", ""),
        "picture of 1.5 MB and 20.5 megapixels": (
            'INVALID_ARGUMENT "Image is too large: at most 20000000 pixels are allowed", for the feature',
            "",
        ),
    }


def test_at_most_three_images_are_billed(run: Run, published: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Even by a service that searches everything it can."""
    billed = 0

    class Generous(Service):
        def _analyze(self, spec: object) -> dict[str, object]:
            nonlocal billed
            if spec.content.startswith(b"This is not"):  # type: ignore[attr-defined] # an AnalyzeSpec
                return {"error": {"code": 3, "message": "Can't decode Image"}}
            billed += 1
            return {"results": [{"imageCopySearch": {}}]}

    with running(Generous(CopyIndex(()), api_key=API_KEY)) as url:
        assert run("--spend", "--host", url, "--published", str(published)) == 0
    output = capsys.readouterr().out
    assert billed == 3
    assert "3 images billed" in output
    facts = facts_in(output)
    assert facts["published picture"] == ("0 copies", "**no**")
    assert facts["picture of 1.5 MB and 20.5 megapixels"] == ("searched", "")


def test_nothing_is_sent_without_spend(run: Run, published: Path, capsys: pytest.CaptureFixture[str]) -> None:
    service = emulated(published)
    with running(service) as url:
        assert run("--host", url) == 2
    assert service.statistics()["requests"] == {}
    assert "at most 3 images are billed" in capsys.readouterr().out


def test_refused_key_ends_it_before_anything_is_billed(
    run: Run, published: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service = emulated(published)
    service.set_api_key("another")
    with running(service) as url:
        assert run("--spend", "--host", url) == 1
    assert service.statistics()["requests"] == {"401": 1}
    facts = facts_in(capsys.readouterr().out)
    assert facts == {"request without images": ("HTTP 401, UNAUTHENTICATED", "**no**")}


@pytest.mark.parametrize(
    ("arguments", "key", "reason"),
    [
        ((), "", "YANDEX_VISION_API_KEY is not set"),
        (("--published", "/nowhere/cat.jpg"), API_KEY, "/nowhere/cat.jpg: No such file"),
        (("--host", "http://vision.example"), API_KEY, "does not use https"),
    ],
)
def test_mistakes_are_named_before_anything_is_sent(
    arguments: tuple[str, ...], key: str, reason: str, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--spend", *arguments, key=key) == 2
    assert reason in capsys.readouterr().err


def test_redirects_are_not_followed() -> None:
    moved = reply(b"", "Location: http://127.0.0.1:9/", status="302 Found")
    with serving(lambda connection: connection.sendall(moved)) as url:
        assert LiveService(url, API_KEY).ask([]).status == 302


def test_key_is_not_shown_even_if_the_service_echoes_it() -> None:
    echo = reply(f"<html>{API_KEY}</html>".encode(), status="500 Oops")
    with serving(lambda connection: connection.sendall(echo)) as url:
        assert str(LiveService(url, API_KEY).ask([])) == "HTTP 500, <html>***</html>"


def test_each_image_is_sent_as_what_it_is() -> None:
    bodies: list[bytes] = []

    def answer(connection: socket.socket, request: Request) -> None:
        bodies.append(request.body)
        connection.sendall(reply(b"{}"))

    server = Loopback(answer)
    LiveService(f"http://127.0.0.1:{server.port}", API_KEY).ask([b"\xff\xd8\xff\xe0", pictures.small(Random(1))])
    server.close()
    assert re.findall(rb'"mimeType":"(.*?)"', bodies[0]) == [b"image/jpeg", b"image/png"]


def test_missing_reply_is_a_fact_too() -> None:
    assert str(LiveService("http://127.0.0.1:9", API_KEY).ask([])).startswith("no reply: ")


@pytest.mark.parametrize(("draw", "size"), [(pictures.small, pictures.SMALL), (pictures.large, pictures.LARGE)])
def test_pictures_can_be_decoded(draw: Callable[[Random], bytes], size: tuple[int, int]) -> None:
    content = draw(Random(1))
    with Image.open(BytesIO(content)) as picture:
        picture.load()
        assert picture.size == size


def test_large_picture_is_above_both_limits() -> None:
    assert 1 << 20 < len(pictures.large(Random(1))) < 2 << 20
    width, height = pictures.LARGE
    assert width * height > 20_000_000


def test_pictures_differ_between_runs() -> None:
    assert pictures.small(Random(1)) != pictures.small(Random(2))
