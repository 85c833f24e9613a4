"""The credentials in an Airflow connection: exactly one kind of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from airflow_provider_yandex_vision.compat import AirflowNotFoundException, BaseHook
from airflow_provider_yandex_vision.hooks.base_url import is_unencrypted, read_base_url
from airflow_provider_yandex_vision.vision.credentials import IAM_ENDPOINT, ApiKey, Credentials, IamToken
from airflow_provider_yandex_vision.vision.errors import ConfigurationError

PASSWORD = "password"
KEY = "service_account_json"
KEY_PATH = "service_account_json_path"
METADATA = "metadata_token"
OTHER_CONNECTION = "yandex_cloud_conn_id"
ENDPOINT = "iam_endpoint"

OLD_PREFIX = "extra__yandexcloud__"
MASKED = "***"
YES, NO = ("true", "yes", "1", "on"), ("false", "no", "0", "off", "")

Mask = Callable[[str], object]


def read_credentials(password: str | None, extra: dict[str, Any], mask: Mask) -> Credentials:
    """
    :param mask: masks a secret in logs; called with the key or token, whenever there is a new one.
    :raises ConfigurationError: no credentials, more than one kind, or an invalid field.
    """
    api_key = (password or "").strip()
    fields = {
        PASSWORD: api_key,
        KEY: extra.get(KEY),
        KEY_PATH: extra.get(KEY_PATH),
        METADATA: _is_true(extra.get(METADATA)),
        OTHER_CONNECTION: extra.get(OTHER_CONNECTION),
    }
    if MASKED in fields.values():
        masked = ", ".join(field for field, value in fields.items() if value == MASKED)
        raise ConfigurationError(
            f"{masked} is {MASKED!r}, which Airflow shows instead of a secret: enter the secret again; to test a saved "
            "connection before Airflow 3.2, use `airflow connections test`"
        )
    given = [field for field, value in fields.items() if value]
    if not given:
        raise ConfigurationError(
            f"no credentials: put an API key into the password field, or set {KEY}, {KEY_PATH}, {METADATA} or "
            f"{OTHER_CONNECTION} in extra"
        )
    if len(given) > 1:
        raise ConfigurationError(f"{' and '.join(given)} are set, each a kind of credentials: use only one")
    [field] = given
    if field == PASSWORD:
        mask(api_key)
        return ApiKey(api_key)
    if field == OTHER_CONNECTION:
        return _of_other_connection(str(fields[OTHER_CONNECTION]), extra, mask)
    return _iam_token(field, extra, mask, source=field, endpoint=extra.get(ENDPOINT))


def _of_other_connection(conn_id: str, extra: dict[str, Any], mask: Mask) -> Credentials:
    """As the ``yandexcloud`` provider reads them: an authorized key, or else the metadata service."""
    source = f"{OTHER_CONNECTION} {conn_id!r}"
    try:
        connection: Any = BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        raise ConfigurationError(f"{source} does not exist") from None
    if connection.conn_type != "yandexcloud":
        raise ConfigurationError(f"{source} is a connection of type {connection.conn_type!r}, not 'yandexcloud'")
    other = connection.extra_dejson
    found = {name: other.get(name) or other.get(OLD_PREFIX + name) for name in ("oauth", KEY, KEY_PATH)}
    if found["oauth"]:
        raise ConfigurationError(
            f"{source} has an OAuth token, which Yandex Cloud stops accepting at the end of 2026: replace it with an "
            f"authorized key in {KEY}"
        )
    if found[KEY] and found[KEY_PATH]:
        raise ConfigurationError(f"{source} has both {KEY} and {KEY_PATH}: use only one")
    endpoint = extra.get(ENDPOINT)
    for field in (KEY, KEY_PATH):
        if found[field]:
            return _iam_token(field, found, mask, source=f"{source}, {field}", endpoint=endpoint)
    return _iam_token(METADATA, found, mask, source=source, endpoint=endpoint)


def _iam_token(field: str, extra: dict[str, Any], mask: Mask, *, source: str, endpoint: str | None) -> IamToken:
    """:param source: where the credentials come from, for messages."""
    # Importing requests and cryptography takes long, and processes that only parse DAGs never need them.
    from airflow_provider_yandex_vision.vision.iam import AuthorizedKey, metadata_token

    if field == METADATA:
        return IamToken(f"the service account of this machine ({source})", metadata_token, mask=mask)
    url = read_base_url(str(endpoint or ""), ENDPOINT, IAM_ENDPOINT)
    if is_unencrypted(url):
        raise ConfigurationError(f"{ENDPOINT} must start with https, not {url}")
    try:
        key = AuthorizedKey(_text(field, extra[field]), endpoint=url, mask=mask)
    except ConfigurationError as error:
        raise ConfigurationError(f"{source}: {error.message}") from None
    return IamToken(f"the authorized key of service account {key.account} ({source})", key.token, mask=mask)


def _text(field: str, value: Any) -> str:
    """The content of a key file. A connection's JSON may have the key as an object or as text."""
    if field == KEY:
        return value if isinstance(value, str) else json.dumps(value)
    path = str(value).strip()
    if path.startswith(("{", "-----BEGIN")):
        raise ConfigurationError(f"this is a key, not a path: put it into {KEY}")
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        reason = error.strerror or type(error).__name__
    except ValueError:
        reason = "not a text file"
    raise ConfigurationError(f"cannot read {path}: {reason}")


def _is_true(value: Any) -> bool:
    text = str("" if value is None else value).strip().lower()
    if text not in (*YES, *NO):
        raise ConfigurationError(f"{METADATA} in extra must be true or false, not {value!r}")
    return text in YES
