"""From a request to the bytes of its answer: changes first, questions one at a time, the same question once for all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pvenetd.api.route import Caller, answered, permitted
from pvenetd.api.routes import ROUTES
from pvenetd.api.shared import Shared
from pvenetd.daemon.daemon import Daemon
from pvenetd.precedence import aside

_PART = 50
"""Records that are turned into text in one go: a fifth of a millisecond."""


class Answers:
    """Who is answered when."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._shared: Shared[bytes] = Shared()

    async def answer(self, caller: Caller, method: str, path: str, given: Mapping[str, Any]) -> bytes:
        """Return the record that answers a request, as JSON.  Raises `PvenetError`."""
        route, found = permitted(ROUTES, caller, method, path)
        precedence = self._daemon.precedence

        async def made() -> bytes:
            await aside()
            return await _text(await answered(self._daemon, route, found, caller, given))

        if route.writes:
            with precedence.first():
                return await made()
        with precedence.asking():
            if not route.shared:
                await precedence.through()
                return await made()
            text = await self._shared.answer((path, repr(sorted(given.items()))), made)
            await precedence.through()  # with a hundred others who have the same answer
            return text


async def _text(body: Mapping[str, Any]) -> bytes:
    """Return a record as JSON, a long list of records made in parts."""
    records = body["data"]
    if not isinstance(records, list) or len(records) <= _PART:
        return json.dumps(body).encode()
    parts = []
    for at in range(0, len(records), _PART):
        parts.append(json.dumps(records[at : at + _PART])[1:-1])
        await aside()
    rest = json.dumps({key: value for key, value in body.items() if key != "data"})
    return "".join(('{"data": [', ", ".join(parts), "]", rest.replace("{", ", " if rest != "{}" else "", 1))).encode()
