"""Ask the real service which of the documented facts hold: ``python -m airflow_provider_yandex_vision.live``.

:mod:`.pictures` draws what is sent, :mod:`.service` sends it without retries, :mod:`.checks` compares the replies with
what the vendor documents, and the command prints a table. Replies are shown as they are on the wire.
"""
