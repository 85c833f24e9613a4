"""What a search read and wrote, for OpenLineage. Needs its provider, which alone imports this."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_yandex_vision.compat import BaseHook
from airflow_provider_yandex_vision.images.location import Location
from airflow_provider_yandex_vision.images.storage import Storages
from airflow_provider_yandex_vision.images.urls import urls_of

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage


def lineage(images: Any, conn_id: str | None, table: str | None, sql_conn_id: str | None) -> OperatorLineage[Any, Any]:
    """Inputs are the prefixes that were listed, outputs the two tables."""
    from airflow.providers.common.compat.openlineage.facet import Dataset
    from airflow.providers.openlineage.extractors import OperatorLineage

    storages = Storages(conn_id)
    prefixes = dict.fromkeys(_prefix(Location.open(url, storages)) for url in urls_of(images))
    outputs = []
    if table and sql_conn_id:
        namespace, database = _database(sql_conn_id)
        outputs = [Dataset(namespace, f"{database}{name}") for name in (table, f"{table}_matches")]
    return OperatorLineage(inputs=[Dataset(*prefix) for prefix in prefixes], outputs=outputs)


def _prefix(location: Location) -> tuple[str, str]:
    """Namespace and name by OpenLineage's naming rules: ``s3://bucket`` and a key, or ``file`` and a path."""
    path = location.path.partition("*")[0] if location.is_glob else location.path
    if location.protocol == "file":
        return "file", path
    bucket, _, key = path.partition("/")
    return f"{location.protocol}://{bucket}", key or "/"


def _database(sql_conn_id: str) -> tuple[str, str]:
    """Namespace of a database, and the prefix of its table names."""
    connection: Any = BaseHook.get_connection(sql_conn_id)
    info = connection.get_hook().get_openlineage_database_info(connection)
    if info is None:
        return f"{connection.conn_type}://{connection.host or ''}", ""
    namespace = f"{info.scheme}://{info.authority}" if info.authority else info.scheme
    return namespace, f"{info.database}." if info.database else ""
