"""The one API key that tests use: no test may log or print it, see ``conftest.py``."""

from __future__ import annotations

API_KEY = "AQVN-not-a-real-key-0123456789abcdef"
