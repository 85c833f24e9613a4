from __future__ import annotations

from datetime import date, timedelta

from airflow_provider_yandex_vision.report.charts import bars, days

TODAY = date(2026, 11, 27)


def test_every_day_has_a_bar() -> None:
    chart = days([], TODAY)
    assert len(chart) == 90
    assert (chart[0].label, chart[-1].label) == (TODAY - timedelta(days=89), TODAY)
    assert {bar.length for bar in chart} == {0.0}


def test_bars_have_the_length_of_their_counts() -> None:
    chart = days([(TODAY, 10), (TODAY - timedelta(days=1), 5), (TODAY - timedelta(days=90), 99)], TODAY)
    assert [(bar.place, bar.count, bar.length) for bar in chart[-2:]] == [(88, 5, 50.0), (89, 10, 100.0)]


def test_one_among_thousands_is_visible() -> None:
    assert [bar.length for bar in bars([("a", 100_000), ("b", 1), ("c", 0)])] == [100.0, 2.0, 0.0]


def test_no_sites_have_no_bars() -> None:
    assert bars([]) == []
