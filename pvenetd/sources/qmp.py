"""A client of QEMU's monitor: JSON lines over a UNIX socket (QEMU's docs/interop/qmp-spec.rst, qapi/).

Whoever is at the other end is not trusted: what it sends is bounded in size and in pace, and nothing waits
for it without an end.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator, Callable
from itertools import count
from pathlib import Path
from typing import Any

PATIENCE = 10.0
"""Seconds for a greeting, or an answer: QEMU answers in milliseconds, unless it runs a slow script itself."""
_LONGEST = 1 << 20
"""Bytes of a line; a NIC's whole filter, with every VLAN there is, has 30,000."""
_PACE = 1 << 20
"""Bytes a second that are read in the long run, each line counted as `_LINE` more."""
_LINE = 512
_MOST_WAITING = 64
"""Commands without an answer yet."""

Heard = Callable[[str, dict[str, Any]], None]
"""Is called with an event's name and its data."""


class QmpError(Exception):
    """What is at the other end does not speak as QEMU does, or refuses a command."""


class Client:
    """A monitor that has greeted; `listen` has to run while `execute` waits."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, heard: Heard) -> None:
        self._reader, self._writer, self._heard = reader, writer, heard
        self._numbers = count()
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._debt = 0.0
        self._paid = asyncio.get_running_loop().time()

    async def greet(self) -> None:
        """Take the greeting, and agree on what it offers.  Raises `QmpError`, OSError, TimeoutError."""
        async with asyncio.timeout(PATIENCE):
            if "QMP" not in await self._record():
                raise QmpError("no greeting of QEMU's")
            self._send({"execute": "qmp_capabilities"})
            while "return" not in (record := await self._record()):
                if "error" in record:  # anything else is an event
                    raise QmpError(_reason(record["error"]))

    async def listen(self) -> None:
        """Hear events and answers until the other end is gone.  Raises `QmpError`, OSError."""
        while True:
            record = await self._record()
            if "event" in record:
                data = record.get("data")
                self._heard(str(record["event"]), data if isinstance(data, dict) else {})
            elif isinstance(number := record.get("id"), int) and (answer := self._answers.pop(number, None)):
                if answer.done():
                    continue
                if "error" in record:
                    answer.set_exception(QmpError(_reason(record["error"])))
                else:
                    answer.set_result(record.get("return"))

    async def execute(self, command: str, **arguments: Any) -> Any:
        """Return what *command* returns.  Raises `QmpError` where it is refused, TimeoutError, OSError."""
        if len(self._answers) >= _MOST_WAITING:
            raise QmpError(f"{_MOST_WAITING} commands have no answer yet")
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(PATIENCE):
                self._send({"execute": command, "arguments": arguments, "id": number})
                await self._writer.drain()
                return await answer
        finally:
            self._answers.pop(number, None)

    def _send(self, record: dict[str, Any]) -> None:
        self._writer.write(json.dumps(record).encode() + b"\n")

    async def _record(self) -> dict[str, Any]:
        """Return the next line's record, no faster than `_PACE`.  Raises `QmpError`, OSError."""
        await self._wait_for_pace()
        try:
            line = await self._reader.readline()
        except ValueError:
            raise QmpError(f"a line of more than {_LONGEST} bytes") from None
        if not line.endswith(b"\n"):
            raise ConnectionResetError("hung up")
        self._debt += len(line) + _LINE
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            raise QmpError("a line that is no JSON") from None
        if not isinstance(record, dict):
            raise QmpError("a line that is no record")
        return record

    async def _wait_for_pace(self) -> None:
        now = asyncio.get_running_loop().time()
        self._debt = max(0.0, self._debt - (now - self._paid) * _PACE)
        self._paid = now
        if self._debt > _PACE:
            await asyncio.sleep(self._debt / _PACE - 1)


@contextlib.asynccontextmanager
async def connected(path: Path, heard: Heard) -> AsyncIterator[Client]:
    """Yield a client of the monitor at *path*, which has greeted.  Raises `QmpError`, OSError, TimeoutError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as there:
        _connect(there, path)
        reader, writer = await asyncio.open_unix_connection(sock=there, limit=_LONGEST)
        try:
            client = Client(reader, writer, heard)
            await client.greet()
            yield client
        finally:
            writer.transport.abort()


def _connect(there: socket.socket, path: Path) -> None:
    """Connect by way of /proc: an address has at most 107 bytes, and a path may have more."""
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        there.connect(f"/proc/self/fd/{directory}/{path.name}")
    except BlockingIOError:
        raise ConnectionRefusedError("too many wait for it already") from None
    finally:
        os.close(directory)


def _reason(error: object) -> str:
    return str(error.get("desc", error)) if isinstance(error, dict) else str(error)
