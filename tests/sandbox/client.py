"""The daemon's API as a program uses it: one HTTP request over the UNIX socket."""

from __future__ import annotations

import json
import socket
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from tests.patience import PATIENCE


class Unix(HTTPConnection):
    """HTTP over a UNIX socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=PATIENCE)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def request(root: Path, method: str, path: str, **values: Any) -> Any:
    """Return the data that pvenetd's own *path* answers; fail with what it says instead."""
    return call(root, method, f"pvenetd/{path}", **values)


def call(root: Path, method: str, path: str, **values: Any) -> Any:
    """Return the data that *path* of the node answers; fail with what it says instead."""
    connection = Unix(root / "run/pvenetd/api.sock")
    try:
        body = json.dumps(values) if values else None
        url = f"/api2/json/nodes/localhost/{path}"
        connection.request(method, url, body, {"Content-Type": "application/json"} if values else {})
        answer = connection.getresponse()
        data = answer.read()
    finally:
        connection.close()
    assert answer.status == 200, f"{method} {path}: {answer.status}: {data.decode(errors='replace')}"
    return json.loads(data)["data"]


def hook(root: Path, phase: str, ifname: str) -> Any:
    """Ask what QEMU's hooks ask."""
    return request(root, "POST", "hook/qemu", phase=phase, ifname=ifname)
