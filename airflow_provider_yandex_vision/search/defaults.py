"""Default limits of a search. Imports nothing, since every parse of a DAG loads it."""

REQUESTS_PER_SECOND = 10.0
"""A starting point: the vendor does not publish a quota for copy search."""
MAX_CONCURRENT_REQUESTS = 8
MAX_IMAGE_BYTES = 7_864_320
"""10,485,760 characters of base64, the limit of ``content`` in the vendor's protobuf."""
MAX_CONVERTED_BYTES = 100_000_000
"""A larger file is not read into memory, whatever could be made of it."""
MAX_REQUEST_BYTES = 20_000_000
