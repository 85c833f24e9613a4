from __future__ import annotations

import re
from datetime import date, datetime, timedelta, timezone
from string import Formatter

import pytest

from airflow_provider_yandex_vision.report.languages import ENGLISH, LANGUAGES, RUSSIAN, Language, language_of
from airflow_provider_yandex_vision.vision.errors import ConfigurationError

every_language = pytest.mark.parametrize("language", LANGUAGES.values(), ids=LANGUAGES)


def fields(phrase: str | tuple[str, ...]) -> set[str]:
    forms = (phrase,) if isinstance(phrase, str) else phrase
    [names] = {frozenset(name for _, name, _, _ in Formatter().parse(form) if name) for form in forms}
    return set(names)


def test_languages_say_the_same_things() -> None:
    assert ENGLISH.words.keys() == RUSSIAN.words.keys()
    assert {name: fields(words) for name, words in ENGLISH.words.items()} == {
        name: fields(words) for name, words in RUSSIAN.words.items()
    }


@every_language
def test_numbers_have_all_forms(language: Language) -> None:
    forms = {language.form(n) for n in range(200)}
    assert {len(words) for words in language.words.values() if isinstance(words, tuple)} == {len(forms)}


@pytest.mark.parametrize(
    ("n", "text"),
    [(1, "1 new page"), (2, "2 new pages"), (0, "0 new pages"), (21, "21 new pages"), (1234, "1,234 new pages")],
)
def test_english_plurals(n: int, text: str) -> None:
    assert ENGLISH.say("text_new", n=n, sites="on 1 site", pictures="").startswith(f"{text} on")


@pytest.mark.parametrize(
    ("n", "text"),
    [
        (0, "0 новых страниц"),
        (1, "1 новая страница"),
        (2, "2 новые страницы"),
        (4, "4 новые страницы"),
        (5, "5 новых страниц"),
        (11, "11 новых страниц"),
        (12, "12 новых страниц"),
        (21, "21 новая страница"),
        (22, "22 новые страницы"),
        (111, "111 новых страниц"),
        (1001, "1\u00a0001 новая страница"),
    ],
)
def test_russian_plurals(n: int, text: str) -> None:
    assert RUSSIAN.say("text_new", n=n, sites="", pictures="").rstrip() == text


@pytest.mark.parametrize(
    ("n", "text"), [(1, "на 1 сайте"), (2, "на 2 сайтах"), (11, "на 11 сайтах"), (21, "на 21 сайте")]
)
def test_russian_cases(n: int, text: str) -> None:
    assert RUSSIAN.say("text_sites", n=n) == text


def test_russian_has_no_latin_letters_but_in_names() -> None:
    phrases = [form for words in RUSSIAN.words.values() for form in ((words,) if isinstance(words, str) else words)]
    latin = {word for phrase in phrases for word in re.findall("[A-Za-z]+", re.sub(r"\{\w+\}", "", phrase))}
    assert latin <= {"UTC", "copies", "csv"}


def test_days_are_those_of_utc() -> None:
    late = datetime(2026, 3, 1, 1, 0, tzinfo=timezone(timedelta(hours=3)))
    assert ENGLISH.day(late) == "28\u00a0Feb\u00a02026"
    assert RUSSIAN.day(date(2026, 5, 9)) == "9\u00a0мая\u00a02026"


def test_unknown_language_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="language must be en or ru, not 'de'"):
        language_of("de")
