"""The words of a report, in English and Russian."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timezone
from typing import Any

from airflow_provider_yandex_vision.vision.errors import ConfigurationError

NO_BREAK_SPACE = "\u00a0"


@dataclass(frozen=True, slots=True)
class Language:
    """
    :param words: phrases by name. One that depends on a number has a form for each of ``form``'s results.
    :param form: which form of a phrase goes with a number.
    :param months: short names, as they follow a day.
    """

    code: str
    thousands: str
    months: tuple[str, ...]
    form: Callable[[int], int]
    words: dict[str, str | tuple[str, ...]]

    def say(self, name: str, **values: Any) -> str:
        """A phrase; ``n``, if given, selects its form. Other numbers are written as this language does."""
        phrase = self.words[name]
        if isinstance(phrase, tuple):
            phrase = phrase[self.form(values["n"])]
        return phrase.format(**{key: self.number(v) if isinstance(v, int) else v for key, v in values.items()})

    def number(self, value: int) -> str:
        return f"{value:,}".replace(",", self.thousands)

    def day(self, moment: date) -> str:
        """The date of a day, or of a moment in UTC: ``7 Nov 2026``."""
        day = moment.astimezone(timezone.utc) if isinstance(moment, datetime) else moment
        return NO_BREAK_SPACE.join((str(day.day), self.months[day.month - 1], str(day.year)))


def language_of(code: str) -> Language:
    """:raises ConfigurationError: there is no such language."""
    if code not in LANGUAGES:
        raise ConfigurationError(f"language must be {' or '.join(LANGUAGES)}, not {code!r}")
    return LANGUAGES[code]


def _english_form(n: int) -> int:
    return 0 if n == 1 else 1


def _russian_form(n: int) -> int:
    """1, 21, 101: страница; 2 to 4, 22: страницы; 5 to 20, 111: страниц."""
    if n % 10 == 1 and n % 100 != 11:
        return 0
    return 1 if n % 10 in (2, 3, 4) and n % 100 not in (12, 13, 14) else 2


ENGLISH = Language(
    code="en",
    thousands=",",
    months=("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
    form=_english_form,
    words={
        "title": "Copies of your pictures",
        "as_of": "As of {moment} UTC",
        "select_new": "New pages, in no earlier report",
        "select_open": "Open pages: nobody has decided",
        "select_cases": "Cases",
        "select_gone": "Pages that are gone",
        "select_all": "All pages",
        "pictures_total": "Pictures",
        "open_total": "Open",
        "new_total": "New",
        "cases_total": "Cases",
        "gone_total": "Gone",
        "per_day": "New pages a day, last 90 days",
        "top_sites": "Sites with the most open pages",
        "chart_days": ("{n} new page in 90 days", "{n} new pages in 90 days"),
        "chart_peak": "most on one day: {peak}",
        "nothing": "Nothing to show.",
        "left_out": (
            "This page shows {shown} of {n} finding. copies.csv has all.",
            "This page shows {shown} of {n} findings. copies.csv has all.",
        ),
        "filter": "Filter",
        "site": "Site",
        "all_sites": "All sites",
        "text": "Text",
        "text_hint": "Title, address or file",
        "side_by_side": "Side by side",
        "visible": "Shown:",
        "none_visible": "Nothing matches the filter.",
        "yours": "Yours",
        "theirs": "On their page",
        "show_theirs": "Show their picture",
        "theirs_hint": "Loads it from their site",
        "unavailable": "No preview",
        "no_picture": "Their picture could not be loaded",
        "page": "Page",
        "picture": "Picture",
        "first_seen": "First seen",
        "last_seen": "last seen",
        "files": ("{n} file of yours", "{n} files of yours"),
        "details": "Details",
        "file": "Your file",
        "description": "Description",
        "finding_id": "Finding",
        "untitled": "Untitled page",
        "verdict_own": "Own site",
        "verdict_licensed": "Licensed",
        "verdict_ignored": "Ignored",
        "verdict_case": "Case",
        "gone": "Gone",
        "pages_on_site": ("{n} page", "{n} pages"),
        "footer": "Links lead to other people’s pages. Their titles and pictures are as found on the web.",
        "text_none": "No new pages show your pictures.",
        "text_new": ("{n} new page {sites} shows {pictures}", "{n} new pages {sites} show {pictures}"),
        "text_open": ("{n} open page {sites} shows {pictures}", "{n} open pages {sites} show {pictures}"),
        "text_cases": ("{n} case {sites}, with {pictures}", "{n} cases {sites}, with {pictures}"),
        "text_gone": ("{n} page {sites} no longer shows {pictures}", "{n} pages {sites} no longer show {pictures}"),
        "text_all": ("{n} page {sites} shows {pictures}", "{n} pages {sites} show {pictures}"),
        "text_sites": ("on {n} site", "on {n} sites"),
        "text_pictures": ("{n} of your pictures", "{n} of your pictures"),
        "text_more": ("and {n} more site", "and {n} more sites"),
    },
)

RUSSIAN = Language(
    code="ru",
    thousands=NO_BREAK_SPACE,
    months=("янв.", "февр.", "марта", "апр.", "мая", "июня", "июля", "авг.", "сент.", "окт.", "нояб.", "дек."),
    form=_russian_form,
    words={
        "title": "Копии ваших изображений",
        "as_of": "По состоянию на {moment} UTC",
        "select_new": "Новые страницы, которых не было в прошлых отчётах",
        "select_open": "Нерассмотренные страницы",
        "select_cases": "Страницы в работе у юриста",
        "select_gone": "Исчезнувшие страницы",
        "select_all": "Все страницы",
        "pictures_total": "Изображения",
        "open_total": "Без решения",
        "new_total": "Новые",
        "cases_total": "В работе",
        "gone_total": "Исчезли",
        "per_day": "Новые страницы по дням за 90 дней",
        "top_sites": "Сайты с наибольшим числом нерассмотренных страниц",
        "chart_days": (
            "{n} новая страница за 90 дней",
            "{n} новые страницы за 90 дней",
            "{n} новых страниц за 90 дней",
        ),
        "chart_peak": "максимум за день: {peak}",
        "nothing": "Показывать нечего.",
        "left_out": (
            "Здесь показано {shown} из {n} находки. Все находки — в файле copies.csv.",
            "Здесь показано {shown} из {n} находок. Все находки — в файле copies.csv.",
            "Здесь показано {shown} из {n} находок. Все находки — в файле copies.csv.",
        ),
        "filter": "Фильтр",
        "site": "Сайт",
        "all_sites": "Все сайты",
        "text": "Текст",
        "text_hint": "Заголовок, адрес или файл",
        "side_by_side": "Сравнение",
        "visible": "Показано:",
        "none_visible": "Под фильтр ничего не подходит.",
        "yours": "Ваше",
        "theirs": "На их странице",
        "show_theirs": "Показать их картинку",
        "theirs_hint": "Загрузится с их сайта",
        "unavailable": "Нет миниатюры",
        "no_picture": "Их картинку загрузить не удалось",
        "page": "Страница",
        "picture": "Картинка",
        "first_seen": "Впервые",
        "last_seen": "в последний раз",
        "files": ("{n} ваш файл", "{n} ваших файла", "{n} ваших файлов"),
        "details": "Подробности",
        "file": "Ваш файл",
        "description": "Описание",
        "finding_id": "Находка",
        "untitled": "Страница без заголовка",
        "verdict_own": "Свой сайт",
        "verdict_licensed": "Есть лицензия",
        "verdict_ignored": "Не важно",
        "verdict_case": "В работе",
        "gone": "Исчезла",
        "pages_on_site": ("{n} страница", "{n} страницы", "{n} страниц"),
        "footer": "Ссылки ведут на чужие страницы. Заголовки и картинки — такие, какими их нашли в интернете.",
        "text_none": "Новых страниц с вашими изображениями нет.",
        "text_new": (
            "{n} новая страница {sites} {pictures}",
            "{n} новые страницы {sites} {pictures}",
            "{n} новых страниц {sites} {pictures}",
        ),
        "text_open": (
            "{n} нерассмотренная страница {sites} {pictures}",
            "{n} нерассмотренные страницы {sites} {pictures}",
            "{n} нерассмотренных страниц {sites} {pictures}",
        ),
        "text_cases": (
            "{n} страница в работе {sites} {pictures}",
            "{n} страницы в работе {sites} {pictures}",
            "{n} страниц в работе {sites} {pictures}",
        ),
        "text_gone": (
            "{n} исчезнувшая страница {sites} {pictures}",
            "{n} исчезнувшие страницы {sites} {pictures}",
            "{n} исчезнувших страниц {sites} {pictures}",
        ),
        "text_all": (
            "{n} страница {sites} {pictures}",
            "{n} страницы {sites} {pictures}",
            "{n} страниц {sites} {pictures}",
        ),
        "text_sites": ("на {n} сайте", "на {n} сайтах", "на {n} сайтах"),
        "text_pictures": (
            "с {n} вашим изображением",
            "с {n} вашими изображениями",
            "с {n} вашими изображениями",
        ),
        "text_more": ("и ещё {n} сайт", "и ещё {n} сайта", "и ещё {n} сайтов"),
    },
)

LANGUAGES = {language.code: language for language in (ENGLISH, RUSSIAN)}
