"""The hook: connects to the service with an Airflow connection."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from functools import cached_property
from importlib import import_module
from typing import Any

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook

from airflow_provider_yandex_vision.get_provider_info import get_provider_info
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
        if connection.password:
            _mask_secret(connection.password.strip())
        fields = VisionConnection.read(connection)
        if fields.sends_key_in_clear:
            self.log.warning("%s does not use https: the API key is sent unencrypted", fields.host)
        return VisionClient(**vars(fields), connections=self.settings.max_concurrent_requests)

    def get_conn(self) -> VisionClient:
        """The client; the first call looks up the connection and creates it.

        :raises ConfigurationError: the connection does not exist, or a field of it is invalid.
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
            client.check_access()
        except errors.AuthenticationError as error:
            return False, f"The API key is wrong, deleted or disabled: {error}"
        except errors.PermissionDeniedError as error:
            return False, f"Permission denied: the service account needs the role ai.vision.user: {error}"
        except errors.UnavailableError as error:
            return False, f"The host is unreachable or unavailable: {error}"
        except errors.ServiceError as error:
            return False, f"Unexpected reply: {error}"
        except Exception as error:
            return False, errors.printable(str(error))
        return True, f"{client.host} accepts the API key"

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """The connection form before Airflow 3.2, from the provider info."""
        return {name.replace("-", "_"): value for name, value in CONNECTION_TYPE["ui-field-behaviour"].items()}

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Extra fields of the connection form before Airflow 3.2, from the provider info."""
        from flask_appbuilder.fieldwidgets import BS3TextFieldWidget
        from wtforms import StringField

        return {
            name: StringField(field["label"], description=field["description"], widget=BS3TextFieldWidget())
            for name, field in CONNECTION_TYPE["conn-fields"].items()
        }

    def _prepare(self, image: Image) -> PreparedImage | CopySearchResult:
        try:
            return prepare_image(image, self.get_conn(), self.settings)
        except errors.ImageError as error:
            return result_of_error(image, error, utc_now())


def _mask_secret(secret: str) -> None:
    """Airflow itself masks the passwords of some connections only. common.compat has the function only from 1.22 on."""
    try:
        module = import_module("airflow.sdk.log")
    except ImportError:
        module = import_module("airflow.utils.log.secrets_masker")
    module.mask_secret(secret)
