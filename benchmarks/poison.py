"""What one image costs that makes the service reject any request with it."""

from __future__ import annotations

from collections import Counter

from airflow_provider_yandex_vision.search.search import CopySearch
from airflow_provider_yandex_vision.search.settings import Settings
from airflow_provider_yandex_vision.vision import ApiKey, Image, VisionClient
from benchmarks.peers import UNPACED
from benchmarks.pictures import mark, picture
from benchmarks.processes import alone, service
from benchmarks.report import AtMost, figure, show
from benchmarks.service import Behaviour

IMAGES = 80
POISONED = 42
IMAGE_BYTES = 2_000


def report() -> None:
    with service(Behaviour(latency=0.01, poison=mark(POISONED))) as served:
        statuses = alone(search, served.host)
        requests = served.statistics().requests
    show(
        f"one poisoned image among {IMAGES}",
        [
            figure("images without an answer", IMAGES - statuses["found"], AtMost(1), digits=0),
            figure("requests", requests, AtMost(17), digits=0),
        ],
    )


def search(host: str) -> Counter[str]:
    images = [Image(f"file:///{n}", lambda n=n: picture(n, IMAGE_BYTES)) for n in range(IMAGES)]  # type: ignore[misc]
    search = CopySearch(VisionClient(ApiKey("benchmark"), host=host), images, Settings(requests_per_second=UNPACED))
    return Counter(result.status for result in search)
