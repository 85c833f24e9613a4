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
                "how-to-guide": [
                    "/docs/how-to/gate.md",
                    "/docs/how-to/monitor.md",
                    "/docs/how-to/backfill.md",
                    "/docs/how-to/review.md",
                ],
                "logo": "https://code.example/airflow-provider-yandex-vision/raw/main/docs/logo.svg",
                "tags": ["service"],
            }
        ],
        "operators": [
            {
                "integration-name": "Yandex Vision",
                "python-modules": [
                    "airflow_provider_yandex_vision.operators.copy_report",
                    "airflow_provider_yandex_vision.operators.copy_search",
                    "airflow_provider_yandex_vision.operators.decide",
                ],
            }
        ],
        "extra-links": ["airflow_provider_yandex_vision.operators.copy_report.CopiesReportLink"],
        "hooks": [
            {
                "integration-name": "Yandex Vision",
                "python-modules": ["airflow_provider_yandex_vision.hooks.vision"],
            }
        ],
        "config": {
            "yandex_vision": {
                "description": "Images on the web.",
                "options": {
                    "allowed_networks": {
                        "description": "Private networks, separated by commas, that images may be read from by URL. "
                        "Public addresses are always allowed.",
                        "type": "string",
                        "version_added": None,
                        "example": "10.1.0.0/16",
                        "default": "",
                    }
                },
            }
        },
        "connection-types": [
            {
                "connection-type": "yandex_vision",
                "hook-name": "Yandex Vision",
                "hook-class-name": "airflow_provider_yandex_vision.hooks.vision.YandexVisionHook",
                "ui-field-behaviour": {
                    # Not the port: without one, the Test button of 3.3.1 and 3.3.2 answers "Bad Request".
                    "hidden-fields": ["login", "schema", "extra"],
                    "relabeling": {"password": "API key", "host": "Base URL"},
                    "placeholders": {
                        "password": "API key of a service account with the role ai.vision.user",
                        "host": "https://vision.api.cloud.yandex.net",
                        "port": "443 (the Test button of Airflow 3.3 needs it)",
                        "timeout": "60",
                        "iam_endpoint": "https://iam.api.cloud.yandex.net",
                    },
                },
                "conn-fields": {
                    "folder_id": {
                        "label": "Folder ID",
                        "description": "Leave empty for a service account.",
                        "schema": {"type": ["string", "null"], "maxLength": 50},
                    },
                    "timeout": {
                        "label": "Timeout, seconds",
                        "description": "How long to wait for a reply; default 60. "
                        "A request that timed out may still be billed.",
                        "schema": {"type": ["number", "null"], "minimum": 1},
                    },
                    "service_account_json": {
                        "label": "Authorized key, JSON",
                        "description": "Instead of an API key: an authorized key of a service account, "
                        "as `yc iam key create` writes it.",
                        "schema": {"type": ["string", "null"], "format": "password"},
                    },
                    "service_account_json_path": {
                        "label": "Authorized key, path",
                        "description": "Instead of an API key: path of a file with an authorized key, on each worker.",
                        "schema": {"type": ["string", "null"]},
                    },
                    "metadata_token": {
                        "label": "Use the service account of the machine",
                        "description": "Instead of an API key: IAM tokens from the metadata service "
                        "of the worker's machine or cluster in Yandex Cloud.",
                        "schema": {"type": ["boolean", "null"]},
                    },
                    "yandex_cloud_conn_id": {
                        "label": "Yandex Cloud connection",
                        "description": "Instead of an API key: id of a connection of type yandexcloud "
                        "to take the credentials from.",
                        "schema": {"type": ["string", "null"]},
                    },
                    "iam_endpoint": {
                        "label": "IAM URL",
                        "description": "Where to exchange an authorized key for IAM tokens, "
                        "if not at the public endpoint.",
                        "schema": {"type": ["string", "null"]},
                    },
                },
            }
        ],
    }
