"""The wheel, built and installed into an environment without the checkout."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_yandex_vision.emulator.pages import index_pages
from airflow_provider_yandex_vision.emulator.server import running
from airflow_provider_yandex_vision.emulator.service import Service
from airflow_provider_yandex_vision.get_provider_info import get_provider_info
from tests.integration.conftest import EXAMPLES, ROOT
from tests.integration.test_examples import connections
from tests.support import run_dags
from tests.support.mail import Mailbox, post_office
from tests.support.network_guard import sitecustomize as network_guard
from tests.support.photographs import make_pictures, make_web
from tests.support.s3 import bucket_of
from tests.support.secrets import API_KEY

pytestmark = pytest.mark.integration

RELEASE = tuple(map(int, version("apache-airflow").split(".")[:2]))
PINS = ROOT / "constraints" / "airflow-{}.{}.txt".format(*RELEASE)

EXAMPLES_WITH_EXTRAS = {
    "yandex_vision_gate": "",
    "yandex_vision_monitor": "pillow,sqlite",
    "yandex_vision_review": "sqlite",
    "yandex_vision_backfill": "sqlite",
    "yandex_vision_object_storage": "amazon,pillow,sqlite",
}
"""With local files, except for the last one, and SQLite."""

LIST_BUNDLES = """
from airflow.dag_processing.bundles.manager import DagBundlesManager
for bundle in DagBundlesManager().get_all_dag_bundles():
    print(bundle.name, bundle.path)
"""

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
def install(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Make an environment with the wheel, some extras (``amazon,pillow``) and nothing else. :return: its Python."""

    @cache
    def make(extras: str) -> Path:
        uv = [sys.executable, "-m", "uv"]
        environment = tmp_path_factory.mktemp("environment")
        run(*uv, "venv", "--quiet", "--python", sys.executable, str(environment))
        python = environment / "bin" / "python"
        requirement = f"airflow-provider-yandex-vision[{extras}] @ {wheel.as_uri()}"
        options = ["--quiet", "--python", str(python), "--constraint", str(PINS)]
        run(*uv, "pip", "install", *options, requirement)
        return python

    return make


def run(*command: str, stdin: str = "", **environment: str) -> str:
    """Run a program outside of the checkout. :return: its output, both streams."""
    done = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": str(Path(network_guard.__file__).parent), **environment},
        cwd=Path(command[0]).parent,
        input=stdin,
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
    examples = {Path(name).stem for name in names if "/example_dags/" in name}
    assert examples == EXAMPLES_WITH_EXTRAS.keys() == {file.stem for file in EXAMPLES.glob("*.py")}


def test_the_sdist_has_what_the_wheel_is_built_from(tmp_path: Path) -> None:
    run(sys.executable, "-m", "build", "--sdist", "--installer", "uv", "--outdir", str(tmp_path), str(ROOT))
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as sdist:
        parts = {Path(name).parts[1] for name in sdist.getnames()}
    beside = {"CHANGELOG.md", "LICENSE", "PKG-INFO", "README.md", "SECURITY.md", "pyproject.toml", ".gitignore"}
    assert parts == {"airflow_provider_yandex_vision", "dags_examples", *beside}


def test_its_description_has_no_link_that_a_package_index_cannot_follow(wheel: Path) -> None:
    metadata = next(name for name in zipfile.ZipFile(wheel).namelist() if name.endswith("/METADATA"))
    targets = re.findall(r"\]\(([^)]*)\)", zipfile.ZipFile(wheel).read(metadata).decode())
    assert [target for target in targets if not target.startswith("https://")] == []
    assert "https://code.example/airflow-provider-yandex-vision/blob/main/docs/architecture.md" in targets


def test_a_package_index_would_accept_it(wheel: Path) -> None:
    assert "PASSED" in run(sys.executable, "-m", "twine", "check", "--strict", str(wheel))


def test_every_name_it_declares_can_be_imported(wheel: Path) -> None:
    entry_points = next(name for name in zipfile.ZipFile(wheel).namelist() if name.endswith("entry_points.txt"))
    declared = zipfile.ZipFile(wheel).read(entry_points).decode()
    assert "provider_info = airflow_provider_yandex_vision.get_provider_info:get_provider_info" in declared
    assert "yandex_vision_emulator = airflow_provider_yandex_vision.emulator.pytest_plugin" in declared
    info = get_provider_info()
    modules = [name for part in ("hooks", "operators") for entry in info[part] for name in entry["python-modules"]]
    assert all(import_module(name) for name in modules)
    for connection_type in info["connection-types"]:
        module, _, name = connection_type["hook-class-name"].rpartition(".")
        assert getattr(import_module(module), name).conn_type == connection_type["connection-type"]


@pytest.mark.parametrize("example", EXAMPLES_WITH_EXTRAS)
def test_example_runs_with_the_extras_it_names(example: str, install: Callable[[str], Path], tmp_path: Path) -> None:
    extras = EXAMPLES_WITH_EXTRAS[example]
    installed = install(extras)
    home, dags, pictures = tmp_path / "home", tmp_path / "home" / "dags", make_pictures(tmp_path / "pictures")
    dags.mkdir(parents=True)
    program = shutil.copy(Path(run_dags.__file__), tmp_path)
    environment = {"AIRFLOW_HOME": str(home), "PATH": f"{installed.parent}{os.pathsep}{os.environ['PATH']}"}
    run("/bin/sh", "-ec", copy_command().replace("yandex_vision_gate", example), **environment)
    docstring = ast.get_docstring(ast.parse((dags / f"{example}.py").read_text())) or ""
    assert all(f"``{extra}``" in docstring.partition("Extras: ")[2] for extra in extras.split(",") if extra)

    images: dict[str, Any] = {
        "yandex_vision_gate": [f"file://{pictures}/cat.jpg", f"file://{pictures}/notes.jpg"],
        "yandex_vision_object_storage": "s3://examples/catalog/",
    }
    conf = {"images": images.get(example, f"file://{pictures}/")}
    if example == "yandex_vision_monitor":
        conf["reports"] = f"file://{tmp_path}/reports"
    # A review waits for a person: tests/integration/test_review.py answers it.
    plan = [{"dag_id": example, "conf": conf}] if example != "yandex_vision_review" else []
    run(str(installed), "-m", "airflow", "db", "migrate", **environment)
    run(str(installed), "-m", "airflow", "dags", "reserialize", **environment)
    service = Service(index_pages(make_web(tmp_path / "web")), api_key=API_KEY)
    with running(service) as url, bucket_of(pictures) as endpoint, post_office(Mailbox()) as smtp:
        environment |= connections(url, tmp_path / "results.db", endpoint) | {"AIRFLOW_CONN_SMTP_DEFAULT": smtp}
        output = run(str(installed), str(program), str(dags), stdin=json.dumps(plan), **environment)
    outcomes = json.loads(output.splitlines()[-1])
    assert [outcome["state"] for outcome in outcomes] == ["success"] * len(plan)
    assert bool(service.statistics()["billed"]) == bool(plan)


def copy_command() -> str:
    """The documented command that copies an example to the user's DAGs."""
    (command,) = re.findall(
        r"^cd .*/example_dags\"\ncp .*", (ROOT / "docs" / "get-started.md").read_text(), re.MULTILINE
    )
    return str(command)


@pytest.mark.skipif(RELEASE < (3, 3), reason="Airflow shows the examples of packages from 3.3 on")
def test_airflow_shows_the_examples(install: Callable[[str], Path], tmp_path: Path) -> None:
    environment = {"AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__LOAD_EXAMPLES": "True"}
    bundles = run(str(install("")), "-c", LIST_BUNDLES, **environment)
    assert re.search(
        "airflow-provider-yandex-vision-example-dags .*/airflow_provider_yandex_vision/example_dags", bundles
    )


def test_demo_runs_with_its_extra(install: Callable[[str], Path], tmp_path: Path) -> None:
    for folder in ("demo", "dags_examples"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    output = run(str(install("demo")), str(tmp_path / "demo" / "run.py"))
    assert "8 found, 5 none, 2 rejected, 0 failed" in output
    files = [file.read_bytes() for file in (tmp_path / ".airflow").rglob("*") if file.is_file()]
    assert files
    assert not any(b"key-of-the-emulator" in content for content in files)


def test_a_search_runs_from_it(install: Callable[[str], Path], tmp_path: Path) -> None:
    installed = install("sqlite")
    pictures = make_pictures(tmp_path / "pictures")
    with running(Service(index_pages(make_web(tmp_path / "web")), api_key=API_KEY)) as url:
        output = run(
            str(installed),
            "-c",
            SEARCH,
            f"file://{pictures}/",
            AIRFLOW_HOME=str(tmp_path / "home"),
            **connections(url, tmp_path / "results.db"),
        )
    summary = json.loads(output.splitlines()[-1])
    assert str(installed.parent.parent) in summary["from"]
    assert (summary["images"], summary["found"], summary["none"], summary["rejected"]) == (7, 3, 1, 3)


def test_airflow_lists_it_as_a_provider(install: Callable[[str], Path], tmp_path: Path) -> None:
    listed = run(
        str(install("")),
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
