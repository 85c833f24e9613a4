"""Whatever a reply contains, reading it gives results or a protocol error."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import astuple
from functools import reduce
from itertools import chain
from operator import getitem
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_yandex_vision.vision import CopySearchResult
from airflow_provider_yandex_vision.vision.errors import ProtocolError
from airflow_provider_yandex_vision.vision.wire import decode_error
from tests.support.texts import ANY_TEXT
from tests.vision.test_wire import MATCH, annotated, decode, failed, reply

KEYS = st.sampled_from(
    ["results", "error", "code", "message", "imageCopySearch", "copyCount", "topResults", "title", "pageUrl"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | ANY_TEXT, inner, max_size=3),
    max_leaves=8,
)
ANNOTATIONS = st.fixed_dictionaries(
    {
        "copyCount": st.integers(0, 2**63 - 1) | st.integers(0, 2**63 - 1).map(str),
        "topResults": st.lists(st.fixed_dictionaries(dict.fromkeys(MATCH, ANY_TEXT)), max_size=2),
    }
)
ERRORS = st.fixed_dictionaries({"code": st.integers(1, 20), "message": ANY_TEXT}, optional={"details": JSON})
RESULTS = st.lists(
    ANNOTATIONS.map(annotated) | st.builds(failed, st.sampled_from(["file", "feature"]), ERRORS),
    min_size=1,
    max_size=4,
)
AGAIN = " again"


def is_storable(*texts: str | None) -> bool:
    """:raises UnicodeEncodeError: there are lone surrogates."""
    return b"\0" not in "".join(text or "" for text in texts).encode()


def texts_of(results: list[CopySearchResult]) -> Iterator[str]:
    for result in results:
        values = (result.error_code, result.error_message, *chain(*map(astuple, result.matches)))
        yield from (value for value in values if isinstance(value, str))


def places(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths to all values inside."""
    for key in tree if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ():
        yield (*path, key)
        yield from places(tree[key], (*path, key))


def mutated(tree: Any, path: tuple[Any, ...], mutation: str, value: Any) -> Any:
    """A copy with one value dropped, doubled or replaced."""
    tree = deepcopy(tree)
    parent, key = reduce(getitem, path[:-1], tree), path[-1]
    if mutation == "replace":
        parent[key] = value
    elif mutation == "drop":
        del parent[key]
    elif isinstance(parent, list):
        parent.insert(key, parent[key])
    else:
        parent[key + AGAIN] = parent[key]
    return tree


REPLIES = JSON | st.lists(JSON, max_size=3).map(lambda results: {"results": results})


@given(st.binary() | REPLIES.map(lambda value: json.dumps(value).encode()), st.integers(0, 3))
def test_any_payload_gives_results_or_a_protocol_error(payload: bytes, images: int) -> None:
    assert is_storable(*decode_error(payload))
    try:
        results = decode(payload, images)
    except ProtocolError:
        return
    assert len(results) == images
    assert is_storable(*texts_of(results))


@given(RESULTS, st.sampled_from(["drop", "double", "replace"]), JSON)
def test_one_fault_in_a_reply_costs_one_image_at_most(results: list[Any], mutation: str, value: Any) -> None:
    before = decode(reply(*results), len(results))
    for path in places(results):
        faulty = mutated(results, path, mutation, value)
        try:
            after = decode(reply(*faulty).replace(AGAIN.encode(), b""), len(results))
        except ProtocolError:
            assert len(results) in {1, len(faulty) + 1, len(faulty) - 1}
        else:
            assert len(after) == len(faulty)
            assert [old == new for old, new in zip(before, after, strict=True)].count(False) <= 1
            assert is_storable(*texts_of(after))


@given(RESULTS, st.data())
def test_truncated_reply_is_refused(results: list[Any], data: st.DataObject) -> None:
    payload = reply(*results)
    with pytest.raises(ProtocolError, match="not JSON"):
        decode(payload[: data.draw(st.integers(0, len(payload) - 1))], len(results))
