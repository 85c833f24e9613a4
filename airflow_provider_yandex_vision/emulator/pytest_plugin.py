"""The fixture ``yandex_vision_emulator``, for tests of your own DAGs.

pytest loads this module in every session of an environment that has the package, so it imports nothing heavy until a
test asks for the fixture.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from airflow_provider_yandex_vision.emulator.scripted import Emulator


@pytest.fixture
def yandex_vision_emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """An emulator of the service with an empty web, reached by the connection ``yandex_vision_default``.

    Fill its web with :meth:`~airflow_provider_yandex_vision.emulator.scripted.Emulator.show`, at any time.
    """
    from airflow_provider_yandex_vision.emulator.scripted import emulated

    with emulated() as emulator:
        monkeypatch.setenv("AIRFLOW_CONN_YANDEX_VISION_DEFAULT", emulator.connection)
        yield emulator
