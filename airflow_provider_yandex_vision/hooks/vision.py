"""The hook: an Airflow connection made into a client of the service."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from functools import cached_property
from importlib import import_module
from typing import Any

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook

from airflow_provider_yandex_vision.get_provider_info import CONNECTION_TYPE, get_provider_info
from airflow_provider_yandex_vision.hooks.connection import VisionConnection
from airflow_provider_yandex_vision.vision.checks import (
    MAX_PIXELS,
    MAX_REQUEST_BYTES,
    CheckedImage,
    Convert,
    Limits,
    read_checked,
    result_of,
)
from airflow_provider_yandex_vision.vision.client import VisionClient, utc_now
from airflow_provider_yandex_vision.vision.errors import (
    AuthenticationError,
    ConfigurationError,
    ImageError,
    PermissionDeniedError,
    ServiceError,
    UnavailableError,
    printable,
)
from airflow_provider_yandex_vision.vision.messages import (
    MAX_CONTENT_BYTES,
    MAX_IMAGES_PER_REQUEST,
    CopySearchResult,
    Image,
)
from airflow_provider_yandex_vision.vision.search import CopySearch, KnownAnswers
from airflow_provider_yandex_vision.vision.settings import Settings


class YandexVisionHook(BaseHook):
    """Search for copies of images on the web with Yandex Vision.

    :param yandex_vision_conn_id: connection of type ``yandex_vision``.
    :param requests_per_second: at most; the vendor's usual quota is 10.
    :param max_concurrent_requests: requests under way at once.
    :param max_concurrent_reads: images read at once.
    :param max_image_bytes: larger files are ``rejected`` without being sent.
    :param max_pixels: width times height; larger pictures are ``rejected`` without being sent.
    :param max_request_bytes: of one request's body.
    """

    conn_name_attr = "yandex_vision_conn_id"
    default_conn_name = "yandex_vision_default"
    conn_type = CONNECTION_TYPE
    hook_name = "Yandex Vision"

    def __init__(
        self,
        yandex_vision_conn_id: str = default_conn_name,
        *,
        requests_per_second: float = 10.0,
        max_concurrent_requests: int = 8,
        max_concurrent_reads: int = 16,
        max_image_bytes: int = MAX_CONTENT_BYTES,
        max_pixels: int = MAX_PIXELS,
        max_request_bytes: int = MAX_REQUEST_BYTES,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.yandex_vision_conn_id = yandex_vision_conn_id
        self.settings = Settings(
            requests_per_second=requests_per_second,
            max_concurrent_requests=max_concurrent_requests,
            max_concurrent_reads=max_concurrent_reads,
            limits=Limits(max_image_bytes, max_pixels, max_request_bytes),
        )

    @cached_property
    def _client(self) -> VisionClient:
        try:
            connection = VisionConnection.read(self.get_connection(self.yandex_vision_conn_id))
        except AirflowNotFoundException:
            raise ConfigurationError(f"there is no connection {self.yandex_vision_conn_id!r}") from None
        _mask_secret()(connection.api_key)
        if connection.sends_key_in_clear:
            self.log.warning("%s is not https: the API key travels in clear", connection.host)
        return VisionClient(
            connection.api_key,
            host=connection.host,
            folder_id=connection.folder_id,
            timeout=connection.timeout,
            connections=self.settings.max_concurrent_requests,
        )

    def get_conn(self) -> VisionClient:
        """The client, made once; the connection is looked up at the first call.

        :raises ConfigurationError: the connection's fields make no sense.
        """
        return self._client

    def batch_analyze(self, images: Sequence[Image]) -> list[CopySearchResult]:
        """Search for copies of 1 to 8 images with one request, without retries.

        An image that cannot be sent is ``rejected`` or ``failed`` without costing the others.

        :return: results in the order of the images.
        :raises ServiceError: the request as a whole came to nothing; its ``uris`` say which images it carried.
        :raises ConfigurationError: not 1 to 8 images, or a broken connection.
        """
        if not 1 <= len(images) <= MAX_IMAGES_PER_REQUEST:
            raise ConfigurationError(f"a request takes 1 to {MAX_IMAGES_PER_REQUEST} images, not {len(images)}")
        client = self.get_conn()
        looked_at = [self._look_at(image) for image in images]
        sendable = [image for image in looked_at if isinstance(image, CheckedImage)]
        answers = iter(client.batch_analyze(sendable) if sendable else ())
        return [next(answers) if isinstance(image, CheckedImage) else image for image in looked_at]

    def copy_search(self, images: Iterable[Image]) -> Generator[CopySearchResult]:
        """Search for copies of any number of images.

        :return: results as they come, in no particular order, one for every image. Trouble with one image is
            a status, never an exception. Closing the generator stops the search.
        :raises ServiceError: going on is pointless: the key is refused, or the service is gone.
        """
        with closing(self.search(images)) as search:
            yield from search

    def search(
        self, images: Iterable[Image], *, known: KnownAnswers | None = None, convert: Convert | None = None
    ) -> CopySearch:
        """The search behind :meth:`copy_search`, with its counts, for whoever wants results in batches.

        :param known: looks up answers that need not be paid again.
        :param convert: makes bytes that the service takes out of bytes it does not.
        """
        return CopySearch(self.get_conn(), images, self.settings, known=known, convert=convert)

    def test_connection(self) -> tuple[bool, str]:
        """Whether the service lets the key in, by a request that carries no image and so costs nothing."""
        try:
            client = self.get_conn()
            client.check_access()
        except AuthenticationError as error:
            return False, f"The API key is wrong, deleted or disabled: {error}"
        except PermissionDeniedError as error:
            return False, f"The API key is known but has no permission, its account needs ai.vision.user: {error}"
        except UnavailableError as error:
            return False, f"The host is unreachable or in trouble: {error}"
        except ServiceError as error:
            return False, f"The host answers, but not as the service does: {error}"
        except Exception as error:
            return False, printable(str(error))
        return True, f"{client.host} accepts the API key"

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Form of Airflow before 3.2, out of the provider info."""
        behaviour = _connection_type()["ui-field-behaviour"]
        return {name.replace("-", "_"): value for name, value in behaviour.items()}

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Extra fields of Airflow's form before 3.2, out of the provider info."""
        from flask_appbuilder.fieldwidgets import BS3TextFieldWidget
        from wtforms import StringField

        return {
            name: StringField(field["label"], description=field["description"], widget=BS3TextFieldWidget())
            for name, field in _connection_type()["conn-fields"].items()
        }

    def _look_at(self, image: Image) -> CheckedImage | CopySearchResult:
        try:
            return read_checked(image, self.settings.limits)
        except ImageError as error:
            return result_of(image, error, utc_now())


def _connection_type() -> dict[str, Any]:
    connection_type: dict[str, Any] = get_provider_info()["connection-types"][0]
    return connection_type


def _mask_secret() -> Callable[[str], None]:
    """Airflow's own, wherever this version keeps it: compat has it only from 1.22 on."""
    try:
        module = import_module("airflow.sdk.log")
    except ImportError:
        module = import_module("airflow.utils.log.secrets_masker")
    mask_secret: Callable[[str], None] = module.mask_secret
    return mask_secret
