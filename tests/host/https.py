"""The host's API over TLS, at an address of its own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.host.machine import SERVICE, asked
from tests.netns import run
from tests.patience import until

SETTINGS = Path("/etc/pvenetd/pvenetd.toml")
CERTIFICATE = Path("/var/lib/pvenetd/tls/api.pem")
ADDRESS = ("127.0.0.1", 8006)
URL = "https://127.0.0.1:8006/api2/json"


def curl(*words: str) -> tuple[int, dict[str, Any]]:
    """Return status and record."""
    command = ["curl", "-sS", "--cacert", CERTIFICATE, "-w", "\n%{http_code}", *words]
    done = subprocess.run(command, capture_output=True, text=True)
    body, _, status = done.stdout.rpartition("\n")
    return int(status or 0), json.loads(body or "{}")


@contextmanager
def served() -> Iterator[None]:
    """Have the API listen for as long as the context lasts."""
    SETTINGS.write_text(f'[api]\nlisten = ["{ADDRESS[0]}"]\n')
    run("systemctl", "restart", SERVICE)
    until(lambda: CERTIFICATE.exists() and curl(f"{URL}/version")[0], "HTTPS is served")
    yield
    SETTINGS.unlink()
    run("systemctl", "restart", SERVICE)
    until(lambda: asked("status"), "the daemon serves")
