"""The host's links that are no guest's: most changes are none of theirs, and concern nobody who acts by them."""

from __future__ import annotations

from collections.abc import Collection

from pvenetd.engine import Engine
from pvenetd.kinds.link import Link
from pvenetd.resource import Key, Resource
from pvenetd.state import State


class Others:
    """These links, as they were when somebody last acted by them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: dict[Key, object] = {}
        self._due = True
        """Whether they have changed and nobody has acted by them."""

    async def look(self) -> State:
        """Return them as they are."""
        return await self._engine.look({("links", "")})

    async def differ(self, changed: Collection[Key] | None) -> bool:
        """Return whether they are not as they were, by what has *changed*; None: that may be anything."""
        self._due = self._due or changed is None or await self._is_news(changed)
        return self._due

    def take(self, live: State) -> None:
        """Remember that somebody has acted by them as they were in *live*."""
        self._known = {key: facts for key, link in live.items() if (facts := _facts(link))}
        self._due = False

    async def _is_news(self, changed: Collection[Key]) -> bool:
        keys = {key for key in changed if key[0] == "link"}
        live = await self._engine.look(keys) if keys else {}
        return any(_facts(live.get(key)) != self._known.get(key) for key in keys)


def _facts(link: Resource | None) -> object:
    """Return what who acts by them depends on, None of what is none of them."""
    if not isinstance(link, Link) or link.owner.startswith("vm:"):
        return None
    return link.kind, link.owner, link.master
