"""Metadata that Airflow reads when it discovers the package. Imports nothing but the version."""

from __future__ import annotations

from typing import Any

from airflow_provider_yandex_vision import __version__


def get_provider_info() -> dict[str, Any]:
    """Provider info, as defined by ``airflow/provider_info.schema.json``.

    Airflow draws the connection form from it from 3.2 on; earlier versions ask the hook, which reads it here.
    """
    return {
        "package-name": "airflow-provider-yandex-vision",
        "name": "Yandex Vision",
        "description": "Find copies of your images on the web.",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": "Yandex Vision",
                "external-doc-url": "https://yandex.cloud/en/docs/vision/",
                "tags": ["service"],
            }
        ],
        "operators": [
            {
                "integration-name": "Yandex Vision",
                "python-modules": ["airflow_provider_yandex_vision.operators.copy_search"],
            }
        ],
        "hooks": [
            {
                "integration-name": "Yandex Vision",
                "python-modules": ["airflow_provider_yandex_vision.hooks.vision"],
            }
        ],
        "connection-types": [
            {
                "connection-type": "yandex_vision",
                "hook-name": "Yandex Vision",
                "hook-class-name": "airflow_provider_yandex_vision.hooks.vision.YandexVisionHook",
                "ui-field-behaviour": {
                    "hidden-fields": ["login", "schema", "port", "extra"],
                    "relabeling": {"password": "API key", "host": "Base URL"},
                    "placeholders": {
                        "password": "API key of a service account with the role ai.vision.user",
                        "host": "https://vision.api.cloud.yandex.net",
                        "timeout": "60",
                    },
                },
                "conn-fields": {
                    "folder_id": {
                        "label": "Folder ID",
                        "description": "Leave empty for a service account's API key.",
                        "schema": {"type": ["string", "null"], "maxLength": 50},
                    },
                    "timeout": {
                        "label": "Timeout, seconds",
                        "description": "How long to wait for a reply; default 60. "
                        "A request that timed out may still be billed.",
                        "schema": {"type": ["number", "null"], "minimum": 1},
                    },
                },
            }
        ],
    }
