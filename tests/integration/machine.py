"""What a worker takes for the name of its machine, so that several on one machine can be told apart."""

from __future__ import annotations

import os
import socket


def name() -> str:
    return os.environ.get("MACHINE") or socket.gethostname()
