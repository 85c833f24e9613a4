"""The wheel, built and installed into an environment without the checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest

from airflow_provider_yandex_vision.emulator.pages import index_pages
from airflow_provider_yandex_vision.emulator.server import running
from airflow_provider_yandex_vision.emulator.service import Service
from airflow_provider_yandex_vision.get_provider_info import get_provider_info
from tests.integration.conftest import ROOT
from tests.support.photographs import make_pictures, make_web
from tests.support.secrets import API_KEY

pytestmark = pytest.mark.integration

SEARCH = """
import json, sys
from airflow_provider_yandex_vision.operators.copy_search import YandexVisionCopySearchOperator
import airflow_provider_yandex_vision
operator = YandexVisionCopySearchOperator(
    task_id="search", images=sys.argv[1], table="copies", sql_conn_id="results_db"
)
summary = operator.execute({})
print("\\n" + json.dumps({**summary, "from": airflow_provider_yandex_vision.__file__}))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--wheel", "--installer", "uv", "--outdir", str(folder), str(ROOT))
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """:return: the Python of an environment with the wheel, its requirements and nothing else."""
    environment = tmp_path_factory.mktemp("empty")
    line = ".".join(version("apache-airflow").split(".")[:2])
    pins = ROOT / "constraints" / f"airflow-{line}-python{'3.10' if sys.version_info < (3, 11) else '3.11'}.txt"
    uv = [sys.executable, "-m", "uv"]
    run(*uv, "venv", "--quiet", "--python", sys.executable, str(environment))
    python = environment / "bin" / "python"
    run(
        *uv,
        "pip",
        "install",
        "--quiet",
        "--python",
        str(python),
        "--constraint",
        str(pins),
        str(wheel),
        "apache-airflow-providers-sqlite",
    )
    return python


def run(*command: str, **environment: str) -> str:
    done = subprocess.run(
        command,
        env={**os.environ, **environment},
        cwd=Path(command[0]).parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout


def test_it_contains_the_package_and_its_license_only(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"airflow_provider_yandex_vision"}
    assert "airflow_provider_yandex_vision/py.typed" in names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert not any("tests" in name for name in names)


def test_a_package_index_would_accept_it(wheel: Path) -> None:
    assert "PASSED" in run(sys.executable, "-m", "twine", "check", "--strict", str(wheel))


def test_every_name_it_declares_can_be_imported(wheel: Path) -> None:
    entry_points = next(name for name in zipfile.ZipFile(wheel).namelist() if name.endswith("entry_points.txt"))
    declared = zipfile.ZipFile(wheel).read(entry_points).decode()
    assert "provider_info = airflow_provider_yandex_vision.get_provider_info:get_provider_info" in declared
    info = get_provider_info()
    modules = [name for part in ("hooks", "operators") for entry in info[part] for name in entry["python-modules"]]
    assert all(import_module(name) for name in modules)
    for connection_type in info["connection-types"]:
        module, _, name = connection_type["hook-class-name"].rpartition(".")
        assert getattr(import_module(module), name).conn_type == connection_type["connection-type"]


def test_a_search_runs_from_it(installed: Path, tmp_path: Path) -> None:
    pictures = make_pictures(tmp_path / "pictures")
    with running(Service(index_pages(make_web(tmp_path / "web")), api_key=API_KEY)) as url:
        output = run(
            str(installed),
            "-c",
            SEARCH,
            f"file://{pictures}/",
            AIRFLOW_HOME=str(tmp_path / "home"),
            AIRFLOW_CONN_YANDEX_VISION_DEFAULT=json.dumps(
                {"conn_type": "yandex_vision", "password": API_KEY, "host": url}
            ),
            AIRFLOW_CONN_RESULTS_DB=json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "results.db")}),
        )
    summary = json.loads(output.splitlines()[-1])
    assert str(installed.parent.parent) in summary["from"]
    assert (summary["images"], summary["found"], summary["none"], summary["rejected"]) == (7, 3, 1, 3)


def test_airflow_lists_it_as_a_provider(installed: Path, tmp_path: Path) -> None:
    listed = run(
        str(installed),
        "-m",
        "airflow",
        "providers",
        "get",
        "airflow-provider-yandex-vision",
        "--full",
        "--output",
        "json",
        AIRFLOW_HOME=str(tmp_path),
    )
    assert "Yandex Vision" in listed
    assert "airflow_provider_yandex_vision.hooks.vision" in listed
