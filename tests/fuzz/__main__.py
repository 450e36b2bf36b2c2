"""Try the API with 5,000 requests that schemathesis makes of the OpenAPI document: `python -m tests.fuzz [SEED]`.

A daemon of its own, in a network namespace, on files of its own; its processes die with this one.  The document is
judged by openapi-spec-validator first.  Fails for a status 5xx, an answer that is not as the document says with all
objects closed, or a bug in the daemon's journal.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pvenetd.api.openapi import document
from pvenetd.api.routes import ROUTES
from tests.api.server import GUEST, INTERFACES
from tests.fuzz.document import tried
from tests.netns import fresh
from tests.patience import until

HERE = Path(__file__).resolve().parent.parent.parent
TOOLS = HERE / ".venv/schemathesis/bin"
"""A Python environment of its own: what schemathesis needs is not what pvenetd runs on."""
PORT = 8006
REQUESTS = 5000
TWIN = "edits.update"
"""It takes what ``edits.create`` takes, more than a hundred parameters: their limits are tried once."""
RUNS = (
    ("--phases", "examples,coverage,fuzzing", "--max-examples", "10", f"--exclude-operation-id={TWIN}"),
    ("--phases", "fuzzing", "--max-examples", "30", f"--include-operation-id={TWIN}"),
    ("--phases", "stateful", "--max-examples", "40"),
)
"""Random requests of each operation, beside those that schemathesis makes of each limit in its schemas; then requests
that take what others have answered: what was made is asked for, changed and deleted."""
CHECKS = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")
LIMIT = 1500.0
"""Seconds after which it is given up: it takes some 90 on a machine with nothing else to do."""
FILES = {
    "etc/network/interfaces": INTERFACES,
    "etc/pvenetd/qemu-server/100.conf": GUEST,
    "etc/pvenetd/lxc/200.conf": "net0: name=eth0,bridge=vmbr0,hwaddr=02:00:5E:00:53:02\n",
    "etc/pvenetd/firewall/cluster.fw": "[OPTIONS]\nenable: 1\n",
    "etc/pvenetd/firewall/100.fw": "[OPTIONS]\nenable: 1\n[RULES]\nIN ACCEPT -p tcp -dport 22\n",
    "etc/pvenetd/pvenetd.toml": "[apply]\nprobe = false\n",
}


def main() -> int:
    """Return the exit status."""
    seed = sys.argv[1] if len(sys.argv) > 1 else str(random.randrange(1 << 32))
    print(f"seed {seed}: python -m tests.fuzz {seed}", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name, fresh() as namespaces:
        root = Path(name)
        for path, text in FILES.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        whole, told = root / "openapi.json", root / "tried.json"
        whole.write_text(json.dumps(document(ROUTES)))
        told.write_text(json.dumps(tried(document(ROUTES))))
        if subprocess.run([TOOLS / "openapi-spec-validator", whole]).returncode:
            return 1
        for nic in ("eth0", "eth1"):
            namespaces.cable(nic)
        with _daemon(root) as log:
            found = [_tried(root, told, seed, more) for more in RUNS]
            failed, count = any(one for one, _ in found), sum(one for _, one in found)
            bugs = [line for line in log.read_text(errors="replace").splitlines() if line.endswith(": a bug")]
            if failed or bugs:
                print(*log.read_text(errors="replace").splitlines()[-200:], *bugs, sep="\n")
    print(f"{count} requests in {time.monotonic() - began:.0f} s, seed {seed}")
    return 1 if failed or bugs or count < REQUESTS else 0


@contextmanager
def _daemon(root: Path) -> Iterator[Path]:
    """Run pvenetd, and what its socket is reached by; yield the file it logs to."""
    log = root / "log"
    alone = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
    command = [*alone, sys.executable, "-m", "pvenetd", "--root", str(root)]
    relay = [sys.executable, "-m", "tests.fuzz.relay", str(PORT), str(root / "run/pvenetd/api.sock")]
    with log.open("wb") as told, subprocess.Popen(command, cwd=HERE, stderr=told) as daemon:
        try:
            until(lambda: daemon.poll() is not None or b"serving" in log.read_bytes(), "pvenetd serves")
            with subprocess.Popen(relay, cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as between:
                try:
                    assert between.stdout
                    assert between.stdout.readline() == b"listening\n"
                    yield log
                finally:
                    between.kill()
            assert daemon.poll() is None, "pvenetd has ended"
        finally:
            daemon.kill()


def _tried(root: Path, told: Path, seed: str, more: tuple[str, ...]) -> tuple[bool, int]:
    """Return whether something was found, and how many requests there were."""
    command = [
        *(TOOLS / "schemathesis", "run", told, "--url", f"http://127.0.0.1:{PORT}/api2/json", "--no-color"),
        *("--seed", seed, "--checks", ",".join(CHECKS), "--warnings", "off"),
        *("--generation-database", "none", "--request-timeout", "60", *more),
    ]
    environment = {"PATH": os.environ["PATH"], "HOME": str(root), "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, cwd=root, env=environment, stdout=subprocess.PIPE, text=True, timeout=LIMIT)
    print(done.stdout if done.returncode else done.stdout[-800:], flush=True)
    count = re.search(r"^\s+(\d+) generated", done.stdout, re.MULTILINE)
    return done.returncode != 0, int(count[1]) if count else 0


if __name__ == "__main__":
    sys.exit(main())
