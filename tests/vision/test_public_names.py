from __future__ import annotations

import subprocess
import sys

from airflow_provider_yandex_vision import vision


def test_public_names_exist_and_are_sorted() -> None:
    assert all(hasattr(vision, name) for name in vision.__all__)
    assert vision.__all__ == sorted(vision.__all__)


def test_package_can_be_used_without_airflow() -> None:
    """Nor does it need storage, SQL, the search, or anything optional."""
    package = "airflow_provider_yandex_vision"
    forbidden = ("airflow", "fsspec", "sqlalchemy", "PIL", "imagehash", f"{package}.search", f"{package}.hooks")
    code = f"""
import pkgutil, sys
from importlib import import_module
from airflow_provider_yandex_vision import vision
for module in pkgutil.iter_modules(vision.__path__):
    import_module(f"{{vision.__name__}}.{{module.name}}")
print([name for name in {forbidden} if name in sys.modules])
"""
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
