"""A local ``batchAnalyze`` over a folder of pictures that plays the web. For development, demos and tests.

The folder is hashed once (:mod:`.pages`, :mod:`.copies`), requests are checked against the published
contract (:mod:`.contract`), answered by a :class:`.service.Service` that knows no sockets, and served by
:mod:`.server`. Needs the extra ``airflow-provider-yandex-vision[emulator]``.
"""
