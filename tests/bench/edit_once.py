"""Read a file of interfaces, change one of them, check everything, write the file; print the CPU's milliseconds.

python -m tests.bench.edit_once FILE
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from pvenetd import collector
from pvenetd.compile import examine
from pvenetd.drivers.files import Files
from pvenetd.edits.change import updated
from pvenetd.edits.verdict import judge
from pvenetd.edits.wish import Wish
from pvenetd.interfaces.config import single
from pvenetd.interfaces.syntax import parse

_NICS = ("lo", "eno0", "eno1")


def main(path: Path) -> None:
    """Edit *path*."""
    collector.tune()
    files = Files(path.parent)
    wish = Wish("vmbr100", {"mtu": "1400"}, kind="bridge")
    started = time.process_time()
    before = single(parse(path.read_bytes(), path.name))
    text = updated(before, wish)[path.name]
    judge(wish, examine(single(parse(text, path.name)), _NICS), lambda: examine(before, _NICS), "bridge")
    files.put(path.name, text.encode("utf-8", "surrogateescape"))
    print(f"{(time.process_time() - started) * 1000:.2f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
