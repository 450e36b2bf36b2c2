"""Go on asking for what comes, ``events -f``: through the end of a daemon, to the next one."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from pvenetd.ctl.client import NoAnswerError, NoDaemonError, Request

_PAUSE = 0.5
"""Seconds between two tries to reach a daemon that has ended, and may be starting again."""

Turn = Callable[[Request], tuple[int, Request | None]]
"""Asks once and shows the answer; returns the exit status, and what is asked next."""


def follow(request: Request, turn: Turn) -> int:
    """Take turns, *request* first, until nothing is asked any more; return the exit status.

    A daemon that has ended is waited for, which is told; the next one's records have ids of their own.
    """
    status, further, lost = 0, request, False
    while True:
        try:
            status, asked = turn(further)
            lost = False
        except (NoDaemonError, NoAnswerError) as error:
            if not lost:
                sys.stderr.write(f"{error}; waiting for it\n")
            lost, asked = True, further._replace(params={**further.params, "since": 0, "wait": 0})
            time.sleep(_PAUSE)
        if not asked:
            return status
        further = asked
