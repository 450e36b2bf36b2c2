"""Show something again and again, as it changes: ``--watch``."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from pvenetd.ctl.client import NoAnswerError, NoDaemonError

_FRESH = "\x1b[H\x1b[2J\x1b[3J"
"""Home, clear the screen, and what has scrolled off it (ECMA-48; xterm for the last)."""


def watch(seconds: float, turn: Callable[[], int]) -> int:
    """Take a *turn*, which asks once and shows the answer, every so many *seconds*; return its status if it is refused.

    It ends by an interrupt.  A daemon that is not there is told of in its place, and asked again.
    """
    while True:
        if sys.stdout.isatty():
            sys.stdout.write(_FRESH)
        try:
            if status := turn():
                return status
        except (NoDaemonError, NoAnswerError) as error:
            sys.stderr.write(f"{error}\n")
        sys.stdout.flush()
        time.sleep(seconds)
