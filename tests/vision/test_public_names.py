from __future__ import annotations

import subprocess
import sys

from airflow_provider_yandex_vision import vision


def test_every_public_name_is_there_and_in_order() -> None:
    assert all(hasattr(vision, name) for name in vision.__all__)
    assert vision.__all__ == sorted(vision.__all__)


def test_the_room_could_be_lifted_out() -> None:
    """It imports neither Airflow nor storage nor SQL nor anything optional."""
    forbidden = ("airflow", "fsspec", "sqlalchemy", "PIL", "imagehash")
    code = f"""
import pkgutil, sys
from importlib import import_module
from airflow_provider_yandex_vision import vision
for module in pkgutil.iter_modules(vision.__path__):
    import_module(f"{{vision.__name__}}.{{module.name}}")
print([name for name in {forbidden} if name in sys.modules])
"""
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
