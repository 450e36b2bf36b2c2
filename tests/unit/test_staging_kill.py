"""``kill -9`` of a writer at each change it makes to the file system: the old edits or the new, and nothing strewn."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from pvenetd.daemon.staging import ACTIVE, Staging
from pvenetd.drivers.files import Files

ROOT = Path(__file__).parents[2]
LAN, WAN = "etc/network/interfaces.d/lan", "etc/network/interfaces.d/wan"
WRITER = """
import os, signal, sys
from pathlib import Path
from pvenetd.daemon.staging import ACTIVE, Staging
from pvenetd.drivers.files import Files

root, left = Path(sys.argv[1]), int(sys.argv[2])

def die(event, arguments):
    global left
    makes = event == "open" and type(arguments[0]) is str and arguments[2] & os.O_WRONLY
    if makes or event in ("os.rename", "os.remove"):
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1

staging = Staging(Files(root))
sys.addaudithook(die)
staging.put({ACTIVE: b"source interfaces.d/*\\niface new0\\n", sys.argv[3]: b"iface new1\\n", sys.argv[4]: None})
"""


def names(root: Path) -> list[str]:
    return [iface.name for iface in Staging(Files(root)).view().config.ifaces]


@pytest.mark.reliability(
    "`kill -9` of a writer at each change it makes to the file system",
    guarantee="the old edits or the new, and nothing strewn",
)
@pytest.mark.parametrize("left", range(12))
async def test_the_old_edits_or_the_new(tmp_path: Path, left: int) -> None:
    files = Files(tmp_path)
    files.write(ACTIVE, b"source interfaces.d/*\niface a\n")
    files.write(LAN, b"iface lan\n")
    files.write(WAN, b"iface wan\n")
    Staging(files).put({WAN: b"iface old\n"})
    command = [sys.executable, "-c", WRITER, str(tmp_path), str(left), LAN, WAN]
    died = await asyncio.create_subprocess_exec(*command, env={"PYTHONPATH": str(ROOT)})
    assert await died.wait() in (0, -9)
    assert (died.returncode == 0) == (left >= 9), (
        "nine changes: three times a draft and its name, one removal, and again"
    )
    found = names(tmp_path)
    assert found == (["lan", "old", "a"] if left < 2 else ["new1", "wan", "new0"])
    async with Staging(files).editing():
        pass
    assert names(tmp_path) == found
    there = {path.name for path in (tmp_path / "etc/network").rglob("*") if path.is_file()}
    assert there == {"interfaces", "lan", "wan"} | ({"wan.new"} if left < 2 else {"interfaces.new", "lan.new"})
    assert {path.name for path in (tmp_path / "var/lib/pvenetd").iterdir()} <= {"staging.json", "staging.lock"}
