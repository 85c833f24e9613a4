"""A local ``batchAnalyze`` that searches a folder of images as if it were the web. For development, demos and tests.

:mod:`.pages` and :mod:`.copies` index the folder once, :mod:`.contract` validates requests against the published
contract, :mod:`.service` answers them without any I/O, and :mod:`.server` puts it on a socket. Needs the extra
``airflow-provider-yandex-vision[emulator]``.
"""
