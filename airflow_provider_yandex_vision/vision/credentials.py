"""What authenticates a request to the service."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, AnyStr

from airflow_provider_yandex_vision.vision.errors import ConfigurationError

if TYPE_CHECKING:
    from requests import PreparedRequest


class ApiKey:
    """The API key of a service account, sent as ``Authorization: Api-Key …``.

    ``requests`` gets it as ``auth``, so that ``~/.netrc`` cannot replace it.

    :raises ConfigurationError: the key is empty, or a header cannot carry it; the HTTP library's error would print it.
    """

    def __init__(self, key: str) -> None:
        if not key:
            raise ConfigurationError("the API key is missing: put it into the password field")
        if not re.fullmatch("[!-~]+", key):
            raise ConfigurationError("the API key contains invalid characters: copy it again")
        self._key = key

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        request.headers["Authorization"] = f"Api-Key {self._key}"
        return request

    def hide(self, text: AnyStr) -> AnyStr:
        """The text without the key, in case a reply or an error echoes it."""
        if isinstance(text, str):
            return text.replace(self._key, "***")
        return text.replace(self._key.encode(), b"***")
