"""The hook: connects to the service with an Airflow connection."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from functools import cached_property
from typing import Any

from airflow_provider_yandex_vision.compat import AirflowNotFoundException, BaseHook, mask_in_logs
from airflow_provider_yandex_vision.get_provider_info import get_provider_info
from airflow_provider_yandex_vision.hooks.base_url import is_unencrypted
from airflow_provider_yandex_vision.hooks.connection import VisionConnection
from airflow_provider_yandex_vision.search import defaults
from airflow_provider_yandex_vision.search.prepare import prepare_image, result_of_error
from airflow_provider_yandex_vision.search.search import CopySearch
from airflow_provider_yandex_vision.search.settings import Settings
from airflow_provider_yandex_vision.vision import errors
from airflow_provider_yandex_vision.vision.client import VisionClient
from airflow_provider_yandex_vision.vision.models import CopySearchResult, Image, PreparedImage, utc_now

CONNECTION_TYPE = get_provider_info()["connection-types"][0]


class YandexVisionHook(BaseHook):
    """Search for copies of images on the web with Yandex Vision.

    :param yandex_vision_conn_id: connection of type ``yandex_vision``.
    :param requests_per_second: upper bound; the rate is lowered if the service throttles.
    :param max_concurrent_requests: requests in flight at once.
    :param settings: further fields of :class:`~airflow_provider_yandex_vision.search.settings.Settings`, such as
        ``max_image_bytes``, ``max_pixels`` and ``max_concurrent_reads``.
    """

    conn_name_attr = "yandex_vision_conn_id"
    default_conn_name = "yandex_vision_default"
    conn_type: str = CONNECTION_TYPE["connection-type"]
    hook_name: str = CONNECTION_TYPE["hook-name"]

    def __init__(
        self,
        yandex_vision_conn_id: str = default_conn_name,
        *,
        requests_per_second: float = defaults.REQUESTS_PER_SECOND,
        max_concurrent_requests: int = defaults.MAX_CONCURRENT_REQUESTS,
        **settings: Any,
    ) -> None:
        super().__init__()
        self.yandex_vision_conn_id = yandex_vision_conn_id
        self.settings = Settings(
            requests_per_second=requests_per_second,
            max_concurrent_requests=max_concurrent_requests,
            **settings,
        )

    @cached_property
    def _client(self) -> VisionClient:
        try:
            connection = self.get_connection(self.yandex_vision_conn_id)
        except AirflowNotFoundException:
            raise errors.ConfigurationError(f"connection {self.yandex_vision_conn_id!r} does not exist") from None
        fields = VisionConnection.read(connection, mask_in_logs)
        try:
            # Get an IAM token now: without one nothing else needs to start, and a token is best masked in this thread.
            fields.credentials.authorization()
        except errors.TransientError as error:
            error.args = (f"connection {self.yandex_vision_conn_id!r}: {error.message}",)
            raise
        client = VisionClient(**vars(fields), connections=self.settings.max_concurrent_requests)
        if is_unencrypted(client.host):
            proxy = f", and the proxy {client.proxy} sees them" if client.proxy else ""
            self.log.warning("%s does not use https: the credentials are sent unencrypted%s", client.host, proxy)
        return client

    def get_conn(self) -> VisionClient:
        """The client; the first call looks up the connection, and gets an IAM token if the connection needs one.

        :raises ConfigurationError: the connection does not exist, or a field of it is invalid.
        :raises ServiceError: there is no IAM token.
        """
        return self._client

    def batch_analyze(self, images: Sequence[Image]) -> list[CopySearchResult]:
        """Search for copies of 1 to 8 images in one request, without retries.

        :return: one result per image, in order. An image that cannot be sent is ``rejected`` or ``failed`` and does
            not affect the others.
        :raises ServiceError: the whole request failed; its ``uris`` are the images that were sent.
        :raises ConfigurationError: not 1 to 8 images, or an invalid connection.
        """
        client = self.get_conn()
        if not 1 <= len(images) <= client.max_images_per_request:
            limit = client.max_images_per_request
            raise errors.ConfigurationError(f"a request takes 1 to {limit} images, not {len(images)}")
        prepared = [self._prepare(image) for image in images]
        sendable = [image for image in prepared if isinstance(image, PreparedImage)]
        results = iter(client.batch_analyze(sendable) if sendable else ())
        return [next(results) if isinstance(image, PreparedImage) else image for image in prepared]

    def copy_search(self, images: Iterable[Image]) -> Generator[CopySearchResult]:
        """Search for copies of any number of images.

        :return: results as they arrive, in any order, one per image. A problem with one image is a status, never an
            exception. Closing the generator stops the search.
        :raises ServiceError: continuing is pointless: access is denied, or the service is down.
        """
        with closing(CopySearch(self.get_conn(), images, self.settings)) as search:
            yield from search

    def test_connection(self) -> tuple[bool, str]:
        """Check that the service accepts the credentials, with a request that has no images and so costs nothing."""
        try:
            client = self.get_conn()
        except Exception as error:
            # The Test button's connection has a random id.
            return False, errors.printable(str(error)).removeprefix(f"connection {self.yandex_vision_conn_id!r}: ")
        try:
            client.check_access()
        except errors.AuthenticationError as error:
            kind = client.credentials_kind
            return False, f"{kind[:1].upper()}{kind[1:]} is wrong, deleted or disabled: {error}"
        except errors.PermissionDeniedError as error:
            return False, f"Permission denied: the service account needs the role ai.vision.user: {error}"
        except errors.UnavailableError as error:
            return False, f"The host is unreachable or unavailable: {error}"
        except errors.ServiceError as error:
            return False, f"Unexpected reply: {error}"
        except Exception as error:
            return False, errors.printable(str(error))
        return True, f"{client.host} accepts {client.credentials_kind}"

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """The connection form before Airflow 3.2, from the provider info."""
        return {name.replace("-", "_"): value for name, value in CONNECTION_TYPE["ui-field-behaviour"].items()}

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Extra fields of the connection form before Airflow 3.2, from the provider info."""
        from flask_appbuilder.fieldwidgets import BS3PasswordFieldWidget, BS3TextFieldWidget
        from wtforms import BooleanField, PasswordField, StringField

        def field(label: str, description: str, schema: dict[str, Any]) -> Any:
            if "boolean" in schema["type"]:
                return BooleanField(label, description=description)
            if schema.get("format") == "password":
                return PasswordField(label, description=description, widget=BS3PasswordFieldWidget())
            return StringField(label, description=description, widget=BS3TextFieldWidget())

        return {name: field(**definition) for name, definition in CONNECTION_TYPE["conn-fields"].items()}

    def _prepare(self, image: Image) -> PreparedImage | CopySearchResult:
        try:
            return prepare_image(image, self.get_conn(), self.settings)
        except errors.ImageError as error:
            return result_of_error(image, error, utc_now())
