"""A mailbox behind a real SMTP server."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller


class Mailbox:
    """Takes mail for everybody."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.mails.append(message_from_bytes(envelope.content, policy=policy.default))
        return "250 OK"


@contextmanager
def post_office(mailbox: Mailbox) -> Iterator[str]:
    """An SMTP server. :return: the connection that reaches it, as JSON."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    server = Controller(mailbox, hostname="127.0.0.1", port=port)
    server.start()
    extra = {"disable_tls": True, "disable_ssl": True, "from_email": "airflow@example.com"}
    yield json.dumps({"conn_type": "smtp", "host": "127.0.0.1", "port": port, "extra": extra})
    server.stop()
