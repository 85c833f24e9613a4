from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_provider_yandex_vision.vision.credentials import ApiKey, Credentials, IamToken, Token, without
from airflow_provider_yandex_vision.vision.errors import (
    AuthenticationError,
    ConfigurationError,
    ServiceError,
    UnavailableError,
)
from tests.support.secrets import API_KEY, IAM_TOKEN, authorized_key, private_key, to_pem

HOUR = 60 * 60.0
KIND = "the test account"


class Clock:
    seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


class Source:
    """Numbers its tokens, unless it has an error to raise."""

    def __init__(self, lifetime: float = 12 * HOUR) -> None:
        self.lifetime = lifetime
        self.error: ServiceError | None = None
        self.calls = 0

    def __call__(self) -> Token:
        self.calls += 1
        if self.error:
            raise self.error
        return Token(f"{IAM_TOKEN}-{self.calls}", self.lifetime)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def token(source: Source, clock: Clock) -> IamToken:
    return IamToken(KIND, source, clock=clock)


def header(number: int) -> str:
    return f"Bearer {IAM_TOKEN}-{number}"


class TestApiKey:
    @pytest.mark.parametrize(
        ("password", "advice"),
        [
            ("y0_AgAAAABnotareal", "an OAuth token, which Yandex Cloud stops accepting at the end of 2026"),
            ("AQAAAAAnotareal", "an OAuth token"),
            (f"{IAM_TOKEN}-1", "an IAM token, which expires within 12 hours: use an API key, an authorized key or the"),
            ("{}", "JSON: put an authorized key into service_account_json"),
            ("-----BEGIN PRIVATE KEY-----\nMIIE", "a private key: put the whole authorized key"),
        ],
    )
    def test_takes_no_other_secret(self, password: str, advice: str) -> None:
        with pytest.raises(ConfigurationError) as caught:
            ApiKey(password)
        assert str(caught.value).startswith(f"the password is not an API key but {advice}")

    def test_shows_no_key_file_in_its_error(self) -> None:
        for password in (authorized_key(), to_pem(private_key())):
            with pytest.raises(ConfigurationError, match="service_account_json"):
                ApiKey(password)

    def test_is_not_renewed(self) -> None:
        key: Credentials = ApiKey(API_KEY)
        assert key.renew(key.authorization()) is None


class TestRenewal:
    @pytest.mark.parametrize(
        ("lifetime", "used"),
        [(12 * HOUR, HOUR), (HOUR + 300, HOUR), (HOUR, HOUR - 300), (900, 600), (600, 300), (60, 30)],
    )
    def test_comes_in_time(self, token: IamToken, source: Source, clock: Clock, lifetime: float, used: float) -> None:
        source.lifetime = lifetime
        assert token.authorization() == header(1)
        clock.seconds += used - 1
        assert token.authorization() == header(1)
        clock.seconds += 1
        assert token.authorization() == header(2)
        assert source.calls == 2

    def test_masks_each_token(self, source: Source, clock: Clock) -> None:
        masked: list[str] = []
        token = IamToken(KIND, source, mask=masked.append, clock=clock)
        assert masked == []
        token.authorization()
        token.renew(header(1))
        assert masked == [f"{IAM_TOKEN}-1", f"{IAM_TOKEN}-2"]

    def test_after_a_rejection_is_immediate(self, token: IamToken, source: Source) -> None:
        assert token.renew(token.authorization()) == header(2)
        assert token.authorization() == header(2)
        assert source.calls == 2

    def test_may_return_the_same_token(self, clock: Clock) -> None:
        token = IamToken(KIND, lambda: Token(IAM_TOKEN, 12 * HOUR), clock=clock)
        assert token.renew(token.authorization()) == f"Bearer {IAM_TOKEN}"

    def test_is_not_repeated_for_another_request_with_the_old_token(self, token: IamToken, source: Source) -> None:
        rejected = token.authorization()
        assert [token.renew(rejected) for _ in range(8)] == [header(2)] * 8
        assert source.calls == 2

    def test_is_done_once_for_all_threads(self, source: Source, clock: Clock) -> None:
        def slow() -> Token:
            time.sleep(0.05)
            return source()

        token = IamToken(KIND, slow, clock=clock)
        assert set(in_threads(token.authorization)) == {header(1)}
        assert source.calls == 1
        assert set(in_threads(lambda: token.renew(header(1)))) == {header(2)}
        assert source.calls == 2

    def test_does_not_hold_up_other_threads_while_the_old_token_is_valid(self, source: Source, clock: Clock) -> None:
        renewing, proceed = threading.Event(), threading.Event()

        def fetch() -> Token:
            if source.calls:
                renewing.set()
                assert proceed.wait(5)
            return source()

        token = IamToken(KIND, fetch, clock=clock)
        token.authorization()
        clock.seconds += HOUR
        with ThreadPoolExecutor(1) as pool:
            renewed = pool.submit(token.authorization)
            assert renewing.wait(5)
            assert token.authorization() == header(1)
            proceed.set()
            assert renewed.result(5) == header(2)


class TestFailedRenewal:
    @pytest.fixture(autouse=True)
    def error(self, token: IamToken, source: Source) -> ServiceError:
        token.authorization()
        source.error = UnavailableError("no reply", http_status=503)
        return source.error

    def test_leaves_the_old_token_in_use_until_it_expires(
        self, token: IamToken, source: Source, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        clock.seconds += 12 * HOUR - 60
        assert token.authorization() == header(1)
        [message] = caplog.messages
        assert message == f"Using the old IAM token for another 60 s: no IAM token for {KIND}: no reply (HTTP 503)"
        clock.seconds += 60
        with pytest.raises(UnavailableError, match=f"no IAM token for {KIND}: no reply"):
            token.authorization()

    def test_is_not_repeated_for_10_seconds(self, token: IamToken, source: Source, clock: Clock) -> None:
        clock.seconds += 2 * HOUR
        assert [token.authorization() for _ in range(5)] == [header(1)] * 5
        assert source.calls == 2
        clock.seconds += 10
        source.error = None
        assert token.authorization() == header(3)

    def test_of_a_rejected_token_is_an_error(self, token: IamToken, source: Source, error: ServiceError) -> None:
        with pytest.raises(UnavailableError):
            token.renew(header(1))
        source.error = UnavailableError("still no reply")
        with pytest.raises(UnavailableError, match="still no reply"):
            token.authorization()
        source.error = None
        assert token.authorization() == header(4)

    def test_keeps_the_kind_of_error(self, clock: Clock) -> None:
        source = Source()
        source.error = AuthenticationError("refused", http_status=404)
        with pytest.raises(AuthenticationError) as caught:
            IamToken(KIND, source, clock=clock).authorization()
        assert str(caught.value) == f"no IAM token for {KIND}: refused (HTTP 404)"


def test_the_old_and_the_new_token_are_hidden(token: IamToken) -> None:
    token.renew(token.authorization())
    assert token.hide(f"{IAM_TOKEN}-1, {IAM_TOKEN}-2") == "***, ***"


def test_no_secret_is_in_a_repr(token: IamToken) -> None:
    token.authorization()
    for credentials in (token, ApiKey(API_KEY)):
        assert "not-a-real" not in f"{credentials} {credentials!r}"


def test_warnings_show_no_token(
    token: IamToken, source: Source, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token.authorization()
    source.error = UnavailableError("no reply")
    clock.seconds += HOUR
    token.authorization()
    assert IAM_TOKEN not in caplog.text


def in_threads(call: Callable[[], str], count: int = 16) -> list[str]:
    with ThreadPoolExecutor(count) as pool:
        return [future.result(10) for future in [pool.submit(call) for _ in range(count)]]


class TestWithout:
    def test_long_secrets_are_found_inside_words(self) -> None:
        assert without(f"x{API_KEY}y", API_KEY) == "x***y"

    @pytest.mark.parametrize("text", ["monkey", "key-1", "_key", "keys"])
    def test_short_ones_are_no_part_of_a_word(self, text: str) -> None:
        assert without(text, "key") == text

    @pytest.mark.parametrize("text", ["key", "Api-Key key", "(key)", "a/key?"])
    def test_short_ones_are_words(self, text: str) -> None:
        assert without(text, "key") == text.replace("key", "***")
