"""The operator's parameters, checked alone and in combination before anything is listed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from airflow_provider_yandex_vision.hooks.vision import YandexVisionHook
from airflow_provider_yandex_vision.images.convert import to_accepted
from airflow_provider_yandex_vision.operators.arguments import check_types
from airflow_provider_yandex_vision.search import defaults
from airflow_provider_yandex_vision.search.decoding import require_pillow
from airflow_provider_yandex_vision.search.ledger import Share
from airflow_provider_yandex_vision.search.settings import Settings
from airflow_provider_yandex_vision.vision.errors import ConfigurationError
from airflow_provider_yandex_vision.vision.sites import parse_sites


@dataclass(frozen=True, kw_only=True, slots=True)
class Parameters:
    """What to search and where results go, as documented by the operator.

    :raises ConfigurationError: a value is invalid, alone or in combination.
    """

    images: Any
    table: str | None = None
    sql_conn_id: str | None = None
    create_table: bool = True
    recheck_after: timedelta | None = None
    own_sites: Any = ()
    max_images: int | None = None
    plan_only: bool = False
    canary: str | None = None
    shard: int | str = 0
    shards: int | str = 1
    max_failed_share: float = 0.1
    requests_per_second: float = defaults.REQUESTS_PER_SECOND
    max_concurrent_requests: int = defaults.MAX_CONCURRENT_REQUESTS
    max_image_bytes: int = defaults.MAX_IMAGE_BYTES
    max_request_bytes: int = defaults.MAX_REQUEST_BYTES
    convert_images: bool = False
    max_xcom_images: int = 200
    yandex_vision_conn_id: str = YandexVisionHook.default_conn_name
    object_storage_conn_id: str | None = None

    def __post_init__(self) -> None:
        check_types(self)
        parse_sites(self.own_sites)
        if self.convert_images:
            require_pillow("convert_images")
        if bool(self.table) != bool(self.sql_conn_id):
            raise ConfigurationError(f"set both or neither: table={self.table!r}, sql_conn_id={self.sql_conn_id!r}")
        if self.recheck_after is not None and not self.table:
            raise ConfigurationError("recheck_after needs table, which remembers earlier searches")
        for name in ("max_images", "max_image_bytes", "max_request_bytes", "max_xcom_images"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigurationError(f"{name} must be at least 1, not {value}")
        if not 0 <= self.max_failed_share <= 1:
            raise ConfigurationError(f"max_failed_share must be from 0 to 1, not {self.max_failed_share}")
        try:
            in_range = 0 <= int(self.shard) < int(self.shards)
        except (TypeError, ValueError):
            in_range = False
        if not in_range:
            raise ConfigurationError(f"shard must be 0 to shards - 1: shard={self.shard!r}, shards={self.shards!r}")

    @property
    def settings(self) -> Settings:
        """Of all shards together."""
        return Settings(
            requests_per_second=self.requests_per_second,
            max_concurrent_requests=self.max_concurrent_requests,
            max_image_bytes=self.max_image_bytes,
            max_request_bytes=self.max_request_bytes,
            convert=to_accepted if self.convert_images else None,
        )

    @property
    def sites(self) -> frozenset[str]:
        """Own ones, as :func:`parse_site` spells them."""
        return frozenset(parse_sites(self.own_sites))

    @property
    def share(self) -> Share:
        """Of this shard, if all shards run at once."""
        return Share(int(self.shard), int(self.shards))
