"""Print the changelog's section about a release: ``.ci/notes.py v0.1.0``. The tag must be the package's version."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def notes_of(tag: str, init: str, changelog: str) -> str:
    """:raises SystemExit: the tag is not the version, or the changelog lacks it."""
    (version,) = re.findall(r'^__version__ = "(.+)"$', init, re.MULTILINE)
    if tag != f"v{version}":
        raise SystemExit(f"the tag is {tag}, but the package's version is {version}")
    sections = dict(re.findall(r"^## (\S+).*\n((?:(?!## ).*\n?)*)", changelog, re.MULTILINE))
    if not sections.get(version, "").strip():
        raise SystemExit(f"CHANGELOG.md has no notes about {version}")
    return str(sections[version]).strip()


if __name__ == "__main__":
    init = ROOT / "airflow_provider_yandex_vision" / "__init__.py"
    print(notes_of(sys.argv[1], init.read_text(), (ROOT / "CHANGELOG.md").read_text()))
