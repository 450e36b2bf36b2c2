"""The guard: it stops ports that nobody has announced, on the bridges of the interfaces configuration.

With it comes what tells of refusals on these bridges, while any guest refuses anything (`firewall.sent`).
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any

from pvenetd.daemon.interfaces import Interfaces
from pvenetd.daemon.others import Others
from pvenetd.daemon.refusals import Refusals
from pvenetd.daemon.store import ACTIVE, Store
from pvenetd.engine import Engine
from pvenetd.errors import ConfigError, Unavailable
from pvenetd.firewall import backend, nft
from pvenetd.firewall.guard import guard, is_guarded, is_lookalike, may_be_a_guests
from pvenetd.firewall.nft_base import Design
from pvenetd.firewall.sent import is_asked, sent
from pvenetd.kinds.bridge import Bridge
from pvenetd.kinds.link import Link
from pvenetd.kinds.vlan import Vlan
from pvenetd.plan import Op
from pvenetd.resource import Key
from pvenetd.state import INTERFACES, Chains, State, state

log = logging.getLogger("pvenetd.guard")

_SENT: Key = ("chains", nft.SENT)
_PORT = re.compile(r'^add element bridge pvenetd out \{ "([^"]+)"', re.MULTILINE)


class Guard:
    """What of this host is guarded, and who is let through.

    It is loaded after guests' chains and goes before they do, so that none of them is ever stopped.
    """

    def __init__(
        self, store: Store, engine: Engine, interfaces: Interfaces, design: Design, is_on: Callable[[], bool]
    ) -> None:
        self._store = store
        self._engine = engine
        self._interfaces = interfaces
        self._design = design
        self._is_on = is_on
        """Returns whether the firewall is on."""
        self._others = Others(engine)
        self._loaded = False
        """Whether guests' chains have been loaded since the firewall was switched on."""
        self._turn = asyncio.Lock()
        """One look and what follows from it at a time: else what was seen earlier could be done later."""
        self.refusals = Refusals(engine, self.answer)
        self._answers = False
        """Whether who sends by way of the host is told of refusals: somebody refuses."""
        self._told: frozenset[str] = frozenset()
        """The stopped ports that were told of."""
        self.tells_bridge = True
        """Whether this kernel's nftables can tell which bridge a frame is in."""
        self.nobodys: frozenset[str] = frozenset()
        """Devices called as guests' are that somebody knows to be none of ours: another domain's ``vnet3``."""

    async def load(self) -> tuple[Op, ...]:
        """Guard what is configured, now that guests have their chains.  Raises as `follow` does."""
        self._loaded = self._is_on()
        if nft.GUARD not in self._engine.owners():
            await self._engine.adopt(nft.GUARD, await self._engine.look({_SENT}))  # an earlier run's may go, too
        return await self.follow()

    async def follow(self, changed: Collection[Key] | None = None) -> tuple[Op, ...]:
        """Guard what is configured now, and let through who has turned out to be nobody's guest.

        Not before `load`: a firewall that a file has just switched on is loaded by who has read that file, the base
        first.  *changed* is what has changed in the kernel, None where that may be anything.
        What cannot be read leaves the guard as it is.  Raises `KernelError`, `VerifyError`.
        """
        async with self._turn:
            if not self._loaded or not (await self._others.differ(changed) or await self._lost(changed or ())):
                return ()
            try:
                live, refused = await self._others.look(), self.refusals.any
                wanted = self._wanted(live, refused=refused)
            except ConfigError:
                return ()
            self._answers = refused
            same = wanted == self._engine.owners().get(nft.GUARD) and not await self._lost(changed)
            ops = () if same else await self._engine.desire(nft.GUARD, wanted)
            self._others.take(live)
            return ops

    async def answer(self) -> None:
        """Have refusals told since a guest refuses something, or no more since none does.  Raises as `follow` does."""
        if self._loaded and self.refusals.any != self._answers:
            await self.follow()

    async def _lost(self, changed: Collection[Key] | None) -> bool:
        """Return whether a device that has *changed*, None: any, is another one than what tells of refusals knows."""
        wanted = self._engine.wants(nft.GUARD).get(_SENT)
        if not isinstance(wanted, Chains):
            return False
        if changed is not None and not any(key[0] == "link" and is_asked(key[1], wanted.text) for key in changed):
            return False
        there = (await self._engine.look({_SENT})).get(_SENT)
        return not isinstance(there, Chains) or there.digest != wanted.digest

    async def go(self) -> tuple[Op, ...]:
        """Let everybody through where the firewall is off; before guests' chains go.  Raises as `follow` does."""
        if self._is_on():
            return ()
        self._loaded = False
        return await self._engine.desire(nft.GUARD, {})

    async def of_design(self, design: Design) -> State:
        """Return the guard's State for any *design*; without an interfaces file there is no bridge to guard.

        Raises `ConfigError`.
        """
        return await self.wanted(design) if self._store.files.read(ACTIVE) is not None else {}

    async def wanted(self, design: Design | None = None) -> State:
        """Return the guard's State, of another *design* too; who may not look at the kernel sees the files alone.

        For a *design* that is named it has what tells of refusals, whether there are any or not.

        Raises `ConfigError`.
        """
        try:
            live = await self._others.look()
        except Unavailable:
            live = {}
        return self._wanted(live, design, refused=design is not None or self.refusals.any)

    def _wanted(self, live: State, design: Design | None = None, *, refused: bool) -> State:
        if not self._is_on():
            return {}
        bridges, known = self._judged(live)
        design = design or self._design
        chains = guard(bridges, known, tells_bridge=self.tells_bridge, behind=design == "iptables")
        self._tell(frozenset(self._stopped(live, bridges, known)) if chains else frozenset(), live)
        # The base is its own as it is a guest's: the host's chains may be broken, and not have brought it.
        base = backend.base(design).model_copy(update={"owner": nft.GUARD})
        answers = sent(_devices(live, bridges), design) if refused else None
        return state([base, chains, *([answers] if answers else [])]) if chains else {}

    async def status(self) -> dict[str, Any]:
        """Return the ports that nothing passes because nobody has announced them; and whether it is as it should be."""
        live = await self._engine.look({("chains", nft.GUARD)})
        with suppress(ConfigError):
            wanted, there = await self.wanted(), live.get(("chains", nft.GUARD))
            chains = wanted.get(("chains", nft.GUARD))
            differs = getattr(there, "digest", None) != getattr(chains, "digest", None)
            lost = [nft.SENT] if await self._lost(None) else []
            return {"stopped": sorted(self._told), "drift": [*([nft.GUARD] if differs else []), *lost]}
        return {"stopped": sorted(self._told), "drift": []}

    def _judged(self, live: State) -> tuple[set[str], list[str]]:
        """Return the bridges to guard, and who is known on them.  Raises `ConfigError`."""
        bridges, configured = self._configured(live)
        return bridges, _known(live, bridges, configured | self.nobodys, tells_bridge=self.tells_bridge)

    def _configured(self, live: State) -> tuple[set[str], frozenset[str]]:
        """Return the bridges of the interfaces configuration, those that are left of an earlier one, and all its names.

        Raises `ConfigError` where it cannot be read.
        """
        devices = self._interfaces.devices()
        bridges = {name for name, device in devices.items() if isinstance(device.link, Bridge)}
        ours = [link for link in live.values() if isinstance(link, Link) and link.owner == INTERFACES]
        bridges |= {link.name for link in ours if isinstance(link, Bridge)}
        return bridges, frozenset(devices) | {link.name for link in ours}

    def _stopped(self, live: State, bridges: Collection[str], known: Collection[str]) -> list[str]:
        others = [
            link.name
            for link in _lookalikes(live)
            if link.name not in known and link.master and (not self.tells_bridge or is_guarded(link.master, bridges))
        ]
        return sorted(name for name in others if not self._is_announced(name))

    def _is_announced(self, name: str) -> bool:
        """Return whether the chains of the guest whose port it is name it."""
        with suppress(ConfigError):
            if held := self._store.definitions.holder(name):
                chains = self._engine.wants(f"vm:{held[0]}").get(("chains", f"vm:{held[0]}"))
                return isinstance(chains, Chains) and name in _PORT.findall(chains.text)
        return False

    def _tell(self, stopped: frozenset[str], live: State) -> None:
        for name in sorted(stopped - self._told):
            link = live["link", name]
            master = link.master if isinstance(link, Link) else ""
            log.warning("%s is a port of %s, and nobody has announced it: nothing passes", name, master)
            self._engine.told("stopped", {"port": name, "bridge": master})
        self._told = stopped


def _known(live: State, bridges: Collection[str], others: frozenset[str], *, tells_bridge: bool) -> list[str]:
    """Return the ports that are called as guests' are and may pass all the same: *others*, and whose name tells.

    Where the kernel cannot tell a frame's bridge, those of bridges that are not to be guarded, too.
    """
    found = []
    for link in _lookalikes(live):
        here = bool(link.master) and is_guarded(link.master or "", bridges)
        if here if tells_bridge else link.master:
            nobodys = link.name in others or not may_be_a_guests(link.name)
            if nobodys or not here:
                found.append(link.name)
    return sorted(found)


def _devices(live: State, bridges: Collection[str]) -> list[str]:
    """Return the guarded bridges that are there, and the VLAN interfaces on them: what the host sends by."""
    links = [one for one in live.values() if isinstance(one, Link)]
    there = {one.name for one in links if isinstance(one, Bridge) and is_guarded(one.name, bridges)}
    return sorted(there | {one.name for one in links if isinstance(one, Vlan) and one.raw_device in there})


def _lookalikes(live: State) -> list[Link]:
    """Return the links that are called as guests' are, and are not plugged by us."""
    links = (one for key, one in live.items() if key[0] == "link" and is_lookalike(key[1]))
    return [link for link in links if isinstance(link, Link) and not link.owner.startswith("vm:")]
