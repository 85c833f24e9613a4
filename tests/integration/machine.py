"""Host names of workers, so that several on one machine have different ones."""

from __future__ import annotations

import os
import socket


def name() -> str:
    return os.environ.get("MACHINE") or socket.gethostname()
