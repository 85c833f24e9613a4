"""One target under atheris, in its own process: atheris ends the process that it runs in."""

from __future__ import annotations

import logging
import re
import sys
import warnings
from random import Random

import atheris

# Coverage of what is loaded here guides the fuzzer: it keeps and varies inputs that reach new lines.
with atheris.instrument_imports(include=["airflow_provider_yandex_vision", "PIL", "email"]):
    from PIL import Image

    from fuzz.targets import TARGETS

    Image.init()

WORD = re.compile(rb'"(?:[^"\\]|\\.)*"|[^\s",:\[\]{}]+')
VALUES = rb'null true -1 0 3 0.5 1e999 9223372036854775808 "" "\u0000" "\ud83d" "//[" [] {} [{}] {"error":{}}'.split()


def mutate(content: bytes, max_size: int, seed: int) -> bytes:
    """Mutated bytes; in JSON, half of the time, one value replaced by another."""
    random = Random(seed)
    if content[:1] in (b"{", b"[") and (words := list(WORD.finditer(content))) and random.random() < 0.5:
        word, other = random.choices(words, k=2)
        value = random.choice([other[0], *VALUES])
        return (content[: word.start()] + value + content[word.end() :])[:max_size]
    mutated: bytes = atheris.Mutate(content, max_size)
    return mutated


if __name__ == "__main__":
    # Pillow warns about nearly every broken image.
    warnings.simplefilter("ignore")
    logging.disable()
    atheris.Setup(sys.argv[1:], TARGETS[sys.argv[1]], custom_mutator=mutate)
    atheris.Fuzz()
