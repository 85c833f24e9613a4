"""One short message about a report, for Slack or mail."""

from __future__ import annotations

from collections import Counter

from airflow_provider_yandex_vision.report.languages import Language
from airflow_provider_yandex_vision.report.untrusted import is_host

NAMED_SITES = 5


def message(language: Language, select: str, sites: Counter[str], pictures: int) -> str:
    """``7 new pages on 4 sites show 3 of your pictures: example.com (4), …``.

    Plain text without a character that has a meaning in Slack's markup, HTML or Markdown: of what the web wrote, it
    quotes ordinary host names only.

    :param select: what the report selected, as the operator takes it.
    :param sites: number of pages by site.
    """
    if not sites:
        return language.say("text_none")
    text = language.say(
        f"text_{select}",
        n=sites.total(),
        sites=language.say("text_sites", n=len(sites)),
        pictures=language.say("text_pictures", n=pictures),
    )
    named = [f"{site} ({language.number(pages)})" for site, pages in sites.most_common(NAMED_SITES) if is_host(site)]
    if not named:
        return f"{text}."
    more = len(sites) - len(named)
    return f"{text}: {', '.join(named)}{' ' + language.say('text_more', n=more) if more else ''}."
