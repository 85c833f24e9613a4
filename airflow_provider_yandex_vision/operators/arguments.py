"""Types of arguments, which DAG authors and templates set freely."""

from __future__ import annotations

import reprlib
from datetime import timedelta
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from airflow_provider_yandex_vision.vision.errors import ConfigurationError

WORDS: dict[Any, str] = {
    str: "text",
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    timedelta: "a timedelta such as timedelta(days=30)",
    NoneType: "None",
}


def check_types(parameters: Any) -> None:
    """Compare each field of a dataclass with its annotation.

    :raises ConfigurationError: one has another type; names it.
    """
    for name, hint in get_type_hints(type(parameters)).items():
        value = getattr(parameters, name)
        if not _fits(value, hint):
            kinds = " or ".join(WORDS.get(kind, str(kind)) for kind in _kinds(hint))
            raise ConfigurationError(f"{name} must be {kinds}, not {reprlib.repr(value)}")


def _kinds(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _fits(value: Any, hint: Any) -> bool:
    kinds = _kinds(hint)
    if Any in kinds:
        return True
    if isinstance(value, bool):  # to Python, a whole number
        return bool in kinds
    if isinstance(value, int) and float in kinds:
        return True
    return any(isinstance(value, get_origin(kind) or kind) for kind in kinds)
