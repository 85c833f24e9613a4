"""Every block of Python in README and docs/ compiles, each DAG can be parsed, and the first guide works as written."""

from __future__ import annotations

import ast
import os
import re
import runpy
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "README.ru.md", *sorted((ROOT / "docs").rglob("*.md"))]
STARTS = ("get-started.md", "ru/get-started.md")


class Block(NamedTuple):
    """A block of code.

    :param name: page and number.
    :param title: file that it shows; empty if it shows none.
    """

    name: str
    title: str
    code: str

    @property
    def is_dag(self) -> bool:
        return "with DAG(" in self.code

    @property
    def imports(self) -> set[str]:
        nodes = ast.walk(ast.parse(self.code))
        return {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}


def blocks_of(page: Path) -> list[Block]:
    found = re.findall(r'^```python(?: title="(.*?)")?\n(.*?)^```', page.read_text(), re.DOTALL | re.MULTILINE)
    return [Block(f"{page.relative_to(ROOT)}:{n}", title, code) for n, (title, code) in enumerate(found, start=1)]


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.name)
def test_block_compiles_and_imports_what_exists(block: Block) -> None:
    compile(block.code, block.name, "exec")
    missing = {module for module in block.imports if not module.startswith("dags.") and not find_spec(module)}
    assert missing == set()


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.is_dag], ids=lambda block: block.name)
def test_dag_can_be_parsed(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "dag.py"
    file.write_text(block.code)
    names = {"__name__": "dag", "__file__": str(file)}
    exec(compile(block.code, str(file), "exec"), names)


@pytest.mark.parametrize("page", [ROOT / "README.ru.md", *sorted((ROOT / "docs" / "ru").rglob("*.md"))], ids=str)
def test_code_is_the_same_in_both_languages(page: Path) -> None:
    english = (
        ROOT / "README.md" if page.name == "README.ru.md" else ROOT / "docs" / page.relative_to(ROOT / "docs" / "ru")
    )
    assert [block.code for block in blocks_of(page)] == [block.code for block in blocks_of(english)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_that_exist(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text())
    missing = [name for name in targets if not name.startswith("https://") and not (page.parent / name).exists()]
    assert missing == []


@pytest.mark.parametrize("page", [ROOT / name for name in ("CONTRIBUTING.md", "SECURITY.md", "CODE_OF_CONDUCT.md")])
def test_address_is_one_of_the_metadata(page: Path) -> None:
    addresses = re.findall(r"[\w.+-]+@[\w.-]+\w", page.read_text())
    declared = (ROOT / "pyproject.toml").read_text()
    assert [address for address in addresses if f'email = "{address}"' not in declared] == []


def test_list_for_language_models_has_every_page() -> None:
    lines_of = runpy.run_path(str(ROOT / ".ci" / "llms.py"))["lines_of"]
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    listed = set(re.findall(r"\]\(https://site\.example/(.*?)/?\)", "\n".join(lines_of(nav, "https://site.example/"))))
    pages = {str(page.relative_to(ROOT / "docs").with_suffix("")) for page in (ROOT / "docs").rglob("*.md")}
    assert listed == {re.sub(r"/?index$", "", page) for page in pages}


def test_release_notes_are_those_of_the_version() -> None:
    assert _notes("v0.1.0").stdout.startswith("First release.")
    assert "the package's version is" in _notes("v99.0.0").stderr


def _notes(tag: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, ROOT / ".ci" / "notes.py", tag], capture_output=True, text=True)


@pytest.mark.integration
@pytest.mark.parametrize("name", STARTS)
def test_start_works_word_for_word(name: str, tmp_path: Path) -> None:
    """In an empty folder. Left out: what installs the package, needs a checkout, or asks the real service."""
    page = (ROOT / "docs" / name).read_text()
    (written,) = [section for section in page.split("\n## ") if "python draw.py" in section]
    shown = re.compile(r'^```python title="(.*?)"\n(.*?)^```\n', re.DOTALL | re.MULTILINE)
    for title, code in shown.findall(written):
        file = tmp_path / title
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(code)
    # The commands, and what the log promises to say at the end.
    _install, draw, emulator, run, promised = re.findall(r"```\n(.*?)```", shown.sub("", written), re.DOTALL)
    # Another port than the default one, which may be in use on this machine.
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    serve = emulator.replace(". venv/bin/activate\n", "exec ").replace("--pages", f"--port {port} --pages")
    run = run.replace(":8085", f":{port}")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    environment["PYTHONPATH"] = f"{ROOT}{os.pathsep}{environment['PYTHONPATH']}"
    environment["AIRFLOW__CORE__DAGS_FOLDER"] = str(tmp_path / "airflow" / "dags")

    subprocess.run(["bash", "-ec", draw], cwd=tmp_path, env=environment, check=True)
    with subprocess.Popen(
        ["bash", "-ec", serve], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    ) as web:
        try:
            assert web.stdout is not None
            assert "1 images on 1 sites" in web.stdout.readline()
            done = subprocess.run(
                ["bash", "-ec", f"{run}exit"], cwd=tmp_path, env=environment, capture_output=True, text=True
            )
        finally:
            web.terminate()
    output = done.stdout + done.stderr
    assert done.returncode == 0, output[-3000:]
    assert promised.strip() in output
