from __future__ import annotations

import subprocess
import sys
import threading
import types
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any

import airflow
import pytest

from airflow_provider_yandex_vision import compat
from airflow_provider_yandex_vision.compat import PLACES, mask_in_logs

AIRFLOW_3 = not airflow.__version__.startswith("2.")
RUNNER = "airflow.sdk.execution_time.task_runner"

places = [(name, number) for name, modules in PLACES.items() for number in range(len(modules))]


class Modules:
    """In place of Airflow: only the given module exists."""

    def __init__(self, module: str, **names: object) -> None:
        self._module = module
        self._names = names

    def __call__(self, name: str) -> types.SimpleNamespace:
        if name != self._module:
            raise ImportError(f"no module named {name}")
        return types.SimpleNamespace(**self._names)


@pytest.mark.parametrize("name", PLACES)
def test_this_release_has_every_name(name: str) -> None:
    found = getattr(compat, name)
    module = found.__module__ if isinstance(found, type | types.FunctionType) else type(found).__module__
    assert module.split(".")[0] == "airflow"


@pytest.mark.parametrize(("name", "number"), places)
def test_name_is_found_in_each_of_its_places(name: str, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    module, _, old_name = PLACES[name][number].partition(":")
    monkeypatch.setattr(compat, "import_module", Modules(module, **{old_name or name: "found"}))
    assert getattr(compat, name) == "found"


@pytest.mark.parametrize("name", PLACES)
def test_newest_place_wins(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def everything(module: str) -> types.SimpleNamespace:
        return types.SimpleNamespace(**dict.fromkeys((*PLACES, "Dataset"), module))

    monkeypatch.setattr(compat, "import_module", everything)
    assert getattr(compat, name) == PLACES[name][0]


def test_module_without_the_name_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """``airflow.sdk`` has no BaseHook in 3.0."""

    def import_module(module: str) -> types.SimpleNamespace:
        return types.SimpleNamespace(**{"airflow.sdk": {}, "airflow.hooks.base": {"BaseHook": "found"}}[module])

    monkeypatch.setattr(compat, "import_module", import_module)
    assert getattr(compat, "BaseHook") == "found"  # noqa: B009


def test_name_that_is_nowhere_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compat, "import_module", Modules("airflow.elsewhere"))
    with pytest.raises(
        AttributeError, match=r"'airflow_provider_yandex_vision.compat' has no attribute 'DAG'"
    ) as caught:
        _ = compat.DAG
    assert str(caught.value.__cause__) == "no module named airflow.models.dag"


def test_other_names_do_not_exist() -> None:
    assert not hasattr(compat, "Variable")


def test_type_checkers_see_every_name() -> None:
    """They follow imports, not ``__getattr__``."""
    with open(compat.__file__) as source:
        seen = [line.split()[-1] for line in source if " import " in line and " as " in line]
    assert sorted(seen) == sorted(PLACES)


def test_importing_it_imports_no_airflow() -> None:
    code = "import sys, airflow_provider_yandex_vision.compat; print('airflow' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"


class TestMask:
    @pytest.fixture
    def masked(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        masked: list[str] = []
        found: dict[str, Any] = {"mask_secret": masked.append}
        monkeypatch.setattr(compat, "__getattr__", found.__getitem__)
        return masked

    @pytest.fixture
    def run_as_task(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[object], None]:
        """Have the process be one of Airflow 3 that runs a task, with the given channel to the supervisor."""

        def run_as_task(channel: object) -> None:
            monkeypatch.setitem(sys.modules, RUNNER, types.SimpleNamespace(SUPERVISOR_COMMS=channel))

        return run_as_task

    @staticmethod
    def mask_in_thread() -> None:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(mask_in_logs, "secret").result()

    @pytest.mark.parametrize("channel", [types.SimpleNamespace(), types.SimpleNamespace(_thread_lock=threading.Lock())])
    def test_is_set_in_the_main_thread(
        self, masked: list[str], run_as_task: Callable[[object], None], channel: object
    ) -> None:
        run_as_task(channel)
        mask_in_logs("secret")
        assert masked == ["secret"]

    def test_is_not_set_over_a_channel_without_a_lock_in_another_thread(
        self, masked: list[str], run_as_task: Callable[[object], None]
    ) -> None:
        run_as_task(types.SimpleNamespace())
        self.mask_in_thread()
        assert masked == []

    def test_is_set_over_a_channel_with_a_lock_in_any_thread(
        self, masked: list[str], run_as_task: Callable[[object], None]
    ) -> None:
        run_as_task(types.SimpleNamespace(_thread_lock=threading.Lock()))
        self.mask_in_thread()
        assert masked == ["secret"]

    def test_is_set_in_any_thread_outside_a_task_of_airflow_3(
        self, masked: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delitem(sys.modules, RUNNER, raising=False)
        self.mask_in_thread()
        assert masked == ["secret"]

    @pytest.mark.skipif(not AIRFLOW_3, reason="Airflow 2 has no supervisor")
    def test_knows_the_channel_of_this_release(self) -> None:
        attrs: Any = import_module("attrs")
        decoder = import_module("airflow.sdk.execution_time.comms").CommsDecoder

        has_lock = any(attribute.name == "_thread_lock" for attribute in attrs.fields(decoder))
        assert has_lock is (tuple(map(int, airflow.__version__.split(".")[:2])) >= (3, 2))
