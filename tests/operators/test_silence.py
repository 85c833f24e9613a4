"""A service that finds nothing any more is told apart from pictures without copies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airflow_provider_yandex_vision.compat import AirflowFailException
from airflow_provider_yandex_vision.emulator.server import running
from airflow_provider_yandex_vision.emulator.service import Service
from airflow_provider_yandex_vision.operators.canary import check_canary
from airflow_provider_yandex_vision.operators.copy_search import YandexVisionCopySearchOperator
from airflow_provider_yandex_vision.vision import CopySearchResult
from airflow_provider_yandex_vision.vision.errors import FailedImagesError
from tests.operators.conftest import IN_TABLE, Query, search
from tests.operators.test_copy_search import searched
from tests.support.counting import CountingService
from tests.support.pictures import png
from tests.support.secrets import API_KEY

only_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


class Fading(CountingService):
    """Finds copies of every image until it is ``off``."""

    off = False

    def pages_of(self, sha256: str) -> tuple[str, ...]:
        return () if self.off else super().pages_of(sha256)


@pytest.fixture
def fading(connect: Callable[..., None]) -> Iterator[Fading]:
    service = Fading()
    with running(service) as url:
        connect("yandex_vision_default", conn_type="yandex_vision", password=API_KEY, host=url)
        yield service


def make_images(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:03}.png").write_bytes(png(number))
    return folder


def rows(database: Query) -> list[tuple[object, ...]]:
    answers = database("SELECT image_uri, status, copy_count, run_id, searched_at FROM copies ORDER BY image_uri")
    return answers + database("SELECT match_id, current FROM copies_matches ORDER BY match_id")


@only_sqlite
class TestSilence:
    def test_fails_the_task_and_leaves_the_rows_as_they_were(
        self, fading: Fading, database: Query, tmp_path: Path
    ) -> None:
        images = make_images(tmp_path / "pictures", 200)
        search(images, "run 1", **IN_TABLE)
        before = rows(database)
        fading.off = True
        with pytest.raises(AirflowFailException, match=r"^copy search seems to be off: "):
            search(images, "run 2", **IN_TABLE)
        assert rows(database) == before
        assert fading.images_billed < 200 + 200

    def test_of_few_images_is_believed(self, fading: Fading, database: Query, tmp_path: Path) -> None:
        images = make_images(tmp_path / "pictures", 49)
        search(images, "run 1", **IN_TABLE)
        fading.off = True
        summary = search(images, "run 2", **IN_TABLE)
        assert (summary["none"], summary["found"]) == (49, 0)
        assert database("SELECT status, count(*) FROM copies GROUP BY status") == [("none", 49)]

    def test_about_new_images_means_nothing(self, fading: Fading, database: Query, tmp_path: Path) -> None:
        fading.off = True
        assert search(make_images(tmp_path / "pictures", 100), **IN_TABLE)["none"] == 100


class TestCanary:
    def test_that_sings_is_searched_first_and_has_no_row(
        self, emulator: Service, pictures: Path, tmp_path: Path
    ) -> None:
        canary = tmp_path / "canary.jpg"
        (pictures / "coffee.jpg").rename(canary)
        summary = search(pictures, canary=f"file://{canary}")
        assert (summary["images"], summary["found"]) == (6, 2)
        assert searched(emulator) == 3
        assert not any("canary" in result["uri"] for result in summary["results"])

    def test_without_copies_fails_the_task_before_anything_else_is_paid(
        self, emulator: Service, pictures: Path
    ) -> None:
        with pytest.raises(AirflowFailException, match=r"copy search seems to be off: the canary .* has no copies"):
            search(pictures, canary=f"file://{pictures}/rocket.jpg")
        assert searched(emulator) == 1

    @pytest.mark.parametrize(
        ("canary", "reason"),
        [
            ("notes.jpg", "could not be searched: NOT_AN_IMAGE"),
            ("broken.jpg", "could not be searched: INVALID_ARGUMENT"),
            ("*.jpg", "canary must name one image"),
            ("", "canary must name one image"),
        ],
    )
    def test_that_is_no_image_fails_the_task(self, emulator: Service, pictures: Path, canary: str, reason: str) -> None:
        with pytest.raises(AirflowFailException, match=reason.replace("*", r"\*")):
            search(pictures, canary=f"file://{pictures}/{canary}")
        assert searched(emulator) == 0

    def test_that_was_not_searched_fails_this_attempt_only(self) -> None:
        result = CopySearchResult("memory://canary", "failed", error_code="INTERNAL", error_message="out of luck")
        with pytest.raises(FailedImagesError, match="the canary memory://canary could not be searched: INTERNAL"):
            check_canary(result)

    @only_sqlite
    def test_is_not_paid_for_if_nothing_is_due(self, emulator: Service, pictures: Path, database: Query) -> None:
        canary = f"file://{pictures}/cat.jpg"
        search(pictures, canary=canary, **IN_TABLE)
        paid = searched(emulator)
        search(pictures, canary=canary, **IN_TABLE)
        assert searched(emulator) == paid

    def test_costs_nothing_in_a_plan(self, emulator: Service, pictures: Path) -> None:
        search(pictures, canary=f"file://{pictures}/cat.jpg", plan_only=True)
        assert searched(emulator) == 0

    def test_is_templated(self) -> None:
        assert "canary" in YandexVisionCopySearchOperator.template_fields
