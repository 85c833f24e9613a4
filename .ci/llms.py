"""Write ``site/llms.txt``: the pages of the site in the order of its navigation, each with its first sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]


def lines_of(nav: list[Any], site_url: str, depth: int = 2) -> Iterator[str]:
    for entry in nav:
        title, target = next(iter(entry.items())) if isinstance(entry, dict) else ("", entry)
        if isinstance(target, list):
            yield f"\n{'#' * depth} {title}\n"
            yield from lines_of(target, site_url, depth + 1)
        else:
            text = (ROOT / "docs" / target).read_text()
            path = re.sub(r"(^|/)index$", r"\1", target.removesuffix(".md"))
            address = f"{site_url}{path}".rstrip("/") + "/"
            yield f"- [{title or heading_of(text)}]({address}){sentence_of(text)}"


def heading_of(text: str) -> str:
    return text.partition("\n")[0].lstrip("# ")


def sentence_of(text: str) -> str:
    """The first sentence after a colon, without the markup of links and emphasis; empty if another file is included."""
    paragraphs = [part for part in text.split("\n\n") if part[:1].isalpha() or part[:1] in ("*", "[", "`")]
    if not paragraphs:
        return ""
    plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", " ".join(paragraphs[0].split())).replace("**", "")
    return ": " + re.split(r"(?<=[.:?]) ", plain)[0].rstrip(":")


if __name__ == "__main__":
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    head = [f"# {site['site_name']}\n", f"> {site['site_description']}\n"]
    text = "\n".join([*head, *lines_of(site["nav"], site["site_url"])])
    (ROOT / "site" / "llms.txt").write_text(f"{text}\n")
