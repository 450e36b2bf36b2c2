"""Benches on the lab's kernel, which has what this machine's may lack."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from tests.sandbox.space import CHECKOUT

_SECONDS = 900


def benches(name: str) -> Iterator[dict[str, Any]]:
    """Yield the records of the bench *name*, run there."""
    command = ["tests/lab/vmtest", f"--timeout={_SECONDS}", sys.executable, "-m", "tests.bench", name]
    done = subprocess.run(command, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert not done.returncode, f"vmtest: exit status {done.returncode}\n{done.stdout}"
    for line in done.stdout.splitlines():
        if line.startswith("{"):
            yield {**json.loads(line), "where": "lab"}
