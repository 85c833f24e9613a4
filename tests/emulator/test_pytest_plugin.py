from __future__ import annotations

import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest

from airflow_provider_yandex_vision.emulator.pytest_plugin import yandex_vision_emulator
from airflow_provider_yandex_vision.emulator.scripted import Emulator
from airflow_provider_yandex_vision.hooks.vision import YandexVisionHook
from airflow_provider_yandex_vision.vision import Image
from airflow_provider_yandex_vision.vision.errors import (
    AuthenticationError,
    ConfigurationError,
    ThrottledError,
    UnavailableError,
)
from tests.integration.conftest import python

__all__ = ["yandex_vision_emulator"]

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "how-to" / "test-your-dag.md"
PLUGIN = "airflow_provider_yandex_vision.emulator.pytest_plugin"

Search = Callable[[], list[str]]


@pytest.fixture
def search(yandex_vision_emulator: Emulator, cat: bytes) -> Search:
    """Pages that show the cat, according to the service."""
    hook = YandexVisionHook()

    def pages() -> list[str]:
        (result,) = hook.batch_analyze([Image("memory://cat", lambda: cat)])
        return [match.page_url for match in result.matches]

    return pages


def test_web_is_empty_at_first(search: Search) -> None:
    assert search() == []


def test_pages_are_given_as_images_and_files(
    yandex_vision_emulator: Emulator, search: Search, cat: bytes, rocket: bytes, tmp_path: Path
) -> None:
    (tmp_path / "cat.png").write_bytes(cat)
    pages: dict[str, bytes | Path] = {
        "https://a.example/1": cat,
        "b.example/2": tmp_path / "cat.png",
        "https://c.example/": rocket,
    }
    yandex_vision_emulator.show(pages)
    assert sorted(search()) == ["b.example/2", "https://a.example/1"]


def test_pages_are_given_as_a_folder(yandex_vision_emulator: Emulator, search: Search, web: Path) -> None:
    yandex_vision_emulator.show(web)
    assert sorted(search()) == ["https://cats.example/best%20of%202024", "news.example/?id=7"]


def test_web_changes_while_it_runs(yandex_vision_emulator: Emulator, search: Search, cat: bytes) -> None:
    yandex_vision_emulator.show({"https://a.example/": cat})
    assert search() == ["https://a.example/"]
    yandex_vision_emulator.show({})
    assert search() == []


def test_broken_page_is_named(yandex_vision_emulator: Emulator, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"https://a\.example/ cannot be decoded"):
        yandex_vision_emulator.show({"https://a.example/": b"text"})
    with pytest.raises(ConfigurationError, match=r"https://a\.example/: there is no file .*gone\.png"):
        yandex_vision_emulator.show({"https://a.example/": tmp_path / "gone.png"})


def test_faults_come_first_cost_nothing_and_end(yandex_vision_emulator: Emulator, search: Search) -> None:
    yandex_vision_emulator.fail(503, 418)
    with pytest.raises(UnavailableError, match="UNAVAILABLE"):
        search()
    with pytest.raises(Exception, match="HTTP 418"):
        search()
    assert yandex_vision_emulator.billed == 0
    search()
    assert yandex_vision_emulator.billed == 1


def test_statistics_can_be_asked_during_a_fault(yandex_vision_emulator: Emulator) -> None:
    yandex_vision_emulator.fail(503)
    with urllib.request.urlopen(f"{yandex_vision_emulator.url}/statistics") as reply:
        assert reply.status == 200


def test_quota_is_set_and_lifted(yandex_vision_emulator: Emulator, search: Search) -> None:
    yandex_vision_emulator.limit(0.001)
    search()
    with pytest.raises(ThrottledError):
        search()
    yandex_vision_emulator.limit(None)
    search()
    assert yandex_vision_emulator.statistics()["requests"] == {"200": 2, "429": 1}


def test_key_is_replaced(yandex_vision_emulator: Emulator, search: Search) -> None:
    yandex_vision_emulator.require_key("another")
    with pytest.raises(AuthenticationError):
        search()
    yandex_vision_emulator.require_key(None)
    search()


def test_plugin_imports_nothing_heavy() -> None:
    """Every pytest session of an environment with the package loads it."""
    heavy = ("airflow", "requests", "PIL", "imagehash", "pybase64", "airflow_provider_yandex_vision.vision")
    code = f"import {PLUGIN}, sys; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_pytest_finds_the_plugin() -> None:
    declared = (ROOT / "pyproject.toml").read_text()
    assert f'[project.entry-points.pytest11]\nyandex_vision_emulator = "{PLUGIN}"\n' in declared


@pytest.mark.integration
def test_guide_works_as_written(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    project = tmp_path_factory.mktemp("project")
    blocks = re.findall(r'```python title="(.*?)"\n(.*?)```', GUIDE.read_text(), re.DOTALL)
    assert [name for name, _ in blocks] == ["dags/shop.py", "test_shop.py", "test_search.py"]
    (project / "dags").mkdir()
    for name, code in blocks:
        (project / name).write_text(code)
    (project / "picture.png").write_bytes(_drawing())
    # As if it were installed; a fixture of this name replaces an installed one.
    (project / "conftest.py").write_text(f"from {PLUGIN} import yandex_vision_emulator")
    home = project / "home"
    environment = {"PYTHONPATH": os.pathsep.join((str(project), os.environ["PYTHONPATH"], str(ROOT)))}
    environment["AIRFLOW__CORE__DAGS_FOLDER"] = str(project / "dags")
    python(["-m", "airflow", "db", "migrate"], home, **environment)
    python(["-m", "airflow", "dags", "reserialize"], home, **environment)
    output = python(
        ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", str(project)], home, **environment
    )
    assert "3 passed" in output


def _drawing() -> bytes:
    from PIL import Image as Picture
    from PIL import ImageDraw

    picture = Picture.new("L", (200, 200))
    ImageDraw.Draw(picture).ellipse((20, 60, 120, 190), fill=200)
    file = BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()
