"""What authenticates a request to the service: an API key, or an IAM token that is renewed in time."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from airflow_provider_yandex_vision.vision.errors import ConfigurationError, ServiceError

log = logging.getLogger(__name__)

IAM_ENDPOINT = "https://iam.api.cloud.yandex.net"

MAX_SECONDS_OF_USE = 60 * 60.0
"""A token is renewed after this whatever its lifetime, as the vendor advises."""
SECONDS_BEFORE_EXPIRY = 5 * 60.0
SECONDS_BETWEEN_ATTEMPTS = 10.0

MIN_UNMISTAKABLE = 20
"""Characters. No other word contains such a secret by chance."""

NEVER = float("-inf")

OTHER_SECRETS = {
    r"y[0-9]_|AQAAAA": "an OAuth token, which Yandex Cloud stops accepting at the end of 2026: use an API key",
    r"t1\.": "an IAM token, which expires within 12 hours: use an API key, an authorized key or the metadata service",
    r"\{": "JSON: put an authorized key into service_account_json",
    r"-----BEGIN": "a private key: put the whole authorized key (JSON) into service_account_json",
}
"""Patterns of what is pasted instead of an API key, and what to do about it."""


class Credentials(Protocol):
    """Safe to share between threads."""

    @property
    def kind(self) -> str:
        """For messages, such as ``the API key``."""
        ...

    def authorization(self) -> str:
        """Value of the ``Authorization`` header.

        :raises ServiceError: there is no valid token.
        """
        ...

    def renew(self, rejected: str) -> str | None:
        """The value to resend a request with whose value was rejected; None if resending is pointless.

        :raises ServiceError: there is no valid token.
        """
        ...

    def hide(self, text: str) -> str:
        """The text without secrets, in case a reply or an error echoes them."""
        ...


class ApiKey:
    """The API key of a service account, sent as ``Authorization: Api-Key …``.

    :raises ConfigurationError: not an API key, or one that a header cannot carry; the HTTP library's error would
        print it.
    """

    kind = "the API key"

    def __init__(self, key: str) -> None:
        if not key:
            raise ConfigurationError("the API key is missing: put it into the password field")
        for pattern, found in OTHER_SECRETS.items():
            if re.match(pattern, key):
                raise ConfigurationError(f"the password is not an API key but {found}")
        if not fits_header(key):
            raise ConfigurationError("the API key contains invalid characters: copy it again")
        self._key = key

    def authorization(self) -> str:
        return f"Api-Key {self._key}"

    def renew(self, rejected: str) -> None:
        return None

    def hide(self, text: str) -> str:
        return without(text, self._key)


class Token(NamedTuple):
    """An IAM token and the number of seconds for which it stays valid."""

    value: str
    seconds: float


class IamToken:
    """An IAM token, sent as ``Authorization: Bearer …``.

    One thread renews it after an hour, or five minutes before it expires if that is earlier. Meanwhile, and if the
    renewal fails, the old token is used as long as it is valid.

    :param kind: for messages, such as ``the authorized key of service account aje…``.
    :param fetch: gets a token; raises ServiceError if there is none.
    :param mask: masks a new token in logs.
    """

    def __init__(
        self,
        kind: str,
        fetch: Callable[[], Token],
        *,
        mask: Callable[[str], object] = lambda secret: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.kind = kind
        self._fetch = fetch
        self._mask = mask
        self._clock = clock
        self._lock = threading.Lock()
        self._tokens: tuple[str, ...] = ()
        self._renew_at = self._expires_at = NEVER

    def authorization(self) -> str:
        now = self._clock()
        if now >= self._renew_at and self._lock.acquire(blocking=now >= self._expires_at):
            try:
                if self._clock() >= self._renew_at:
                    self._renew()
            finally:
                self._lock.release()
        return self._header

    def renew(self, rejected: str) -> str:
        with self._lock:
            if rejected == self._header:
                self._renew_at = self._expires_at = NEVER
                self._renew()
            return self._header

    def hide(self, text: str) -> str:
        return without(text, *self._tokens)

    @property
    def _header(self) -> str:
        return f"Bearer {self._tokens[-1]}"

    def _renew(self) -> None:
        try:
            token = self._fetch()
        except ServiceError as error:
            error.args = (f"no IAM token for {self.kind}: {error.message}",)
            if self._clock() >= self._expires_at:
                raise
            self._renew_at = self._clock() + SECONDS_BETWEEN_ATTEMPTS
            log.warning("Using the old IAM token for another %d s: %s", self._expires_at - self._clock(), error)
            return
        self._mask(token.value)
        # Requests in flight may still have the old one.
        self._tokens = (*self._tokens[-1:], token.value)
        use = min(MAX_SECONDS_OF_USE, max(token.seconds - SECONDS_BEFORE_EXPIRY, token.seconds / 2))
        self._expires_at = self._clock() + token.seconds
        self._renew_at = self._clock() + use


def fits_header(secret: str) -> bool:
    return re.fullmatch("[!-~]+", secret) is not None


def without(text: str, *secrets: str) -> str:
    """The text with each secret replaced by asterisks.

    A short one, as in development, is a secret only where it stands alone, so that it does not blot out other words.
    """
    for secret in secrets:
        if secret not in text:
            continue
        if len(secret) >= MIN_UNMISTAKABLE:
            text = text.replace(secret, "***")
        else:
            text = re.sub(rf"(?<![\w-]){re.escape(secret)}(?![\w-])", "***", text)
    return text
