"""Log lines as entries of systemd's journal, with fields that one can ask for: OWNER, OP, VMID, FILE, LINE.

Source: systemd's "Native Journal Protocol"; systemd.exec(5), $JOURNAL_STREAM.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import struct
import sys
from collections.abc import Mapping

SOCKET = "/run/systemd/journal/socket"
_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
"""Levels from which on syslog(3)'s priority is this."""
_DEBUG = 7
_FACTS = ("owner", "op", "who", "where", "what", "status", "outcome")
"""What is said beside a message, each a field by its name in capitals."""
_ORIGIN = re.compile(r"(?P<file>.+):(?P<line>[0-9]+)")
_MOST = 48 << 10
"""Bytes of a message: an entry has to fit into a datagram."""


class Handler(logging.Handler):
    """Sends log records to the journal; what it cannot send goes to standard error."""

    def __init__(self, path: str = SOCKET) -> None:
        super().__init__()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._path = path

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()
        super().close()

    def emit(self, record: logging.LogRecord) -> None:
        """Send *record*."""
        text = self.format(record)
        try:
            self._socket.sendto(entry(fields(record, text)), self._path)
        except OSError:
            sys.stderr.write(f"{text}\n")


def is_journal(environment: Mapping[str, str], stream: int) -> bool:
    """Return whether the file descriptor *stream* is the journal's, as the *environment* of a service says."""
    try:
        found = os.fstat(stream)
    except OSError:
        return False
    return environment.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def fields(record: logging.LogRecord, text: str) -> dict[str, str]:
    """Return the fields of an entry whose message is *text*."""
    priority = next((number for level, number in _PRIORITIES if record.levelno >= level), _DEBUG)
    found = {
        "MESSAGE": text.encode("utf-8", "surrogateescape")[:_MOST].decode("utf-8", "replace"),
        "PRIORITY": str(priority),
        "SYSLOG_IDENTIFIER": "pvenetd",
        "LOGGER": record.name,
    }
    facts = vars(record)
    found |= {name.upper(): str(facts[name]) for name in _FACTS if facts.get(name) not in (None, "")}
    if (owner := found.get("OWNER", "")).startswith("vm:"):
        found["VMID"] = owner[3:]
    if origin := _ORIGIN.fullmatch(str(facts.get("origin") or "")):
        found |= {"FILE": origin["file"], "LINE": origin["line"]}
    return found


def entry(fields: Mapping[str, str]) -> bytes:
    """Return *fields* as the journal reads them: a value of several lines after its length."""
    found = bytearray()
    for name, text in fields.items():
        value = text.encode("utf-8", "replace")
        if b"\n" in value:
            found += b"%s\n%s%s\n" % (name.encode(), struct.pack("<Q", len(value)), value)
        else:
            found += b"%s=%s\n" % (name.encode(), value)
    return bytes(found)
