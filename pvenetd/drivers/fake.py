"""A machine in memory that refuses what the kernel refuses, and takes along what the kernel takes along.

Tests run on it, and `tests/kernel` holds it to the real kernel: being kinder is a bug.
Sources: the kernel's net/core/rtnetlink.c, net/bridge/, drivers/net/bonding/, net/8021q/, net/ipv4/devinet.c.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Iterable
from ipaddress import ip_interface
from typing import Any

from pvenetd.commands import Hook, Scripts
from pvenetd.drivers.fake_links import Links, RefusedError, refuse
from pvenetd.drivers.fake_rules import (
    CARD,
    SETTINGS,
    commands,
    link_of,
    of_the_host,
    reaches,
    shown,
    told,
    v4_on,
    v6_on,
)
from pvenetd.errors import KernelError
from pvenetd.firewall.flow import Flow
from pvenetd.firewall.tally import Tally, tallies, together
from pvenetd.forwarding import Heard
from pvenetd.kinds.ethtool import Ethtool
from pvenetd.kinds.link import Link
from pvenetd.pinned import Pinned
from pvenetd.plan import Op
from pvenetd.resource import Key, Resource
from pvenetd.state import Address, Chains, Route, State, Sysctl


class Fake(Links):
    """What a kernel would have become, and the commands that were run: `ran`."""

    def __init__(self, resources: Iterable[Resource] = (), sysctls: Iterable[str] = ()) -> None:
        loopback = [("127.0.0.1/8", "host"), ("::1/128", "host")]
        super().__init__()
        self._now["link", "lo"] = Link.model_construct(kind="loopback", name="lo", up=True, mtu=65536, group=0)
        for text, scope in loopback:
            self._now["address", "lo", text] = Address.model_construct(dev="lo", address=text, scope=scope)
        for key in of_the_host(sysctls):
            self._now[key] = Sysctl.model_construct(name=key[1], value="0")
        self._seen: dict[Key, Resource] = {}
        self.lacks: frozenset[str] = frozenset()
        """What of `firewall.abilities` a test has it without."""
        self._changed: set[Key] = set()
        """Links, addresses and routes that have changed since `changed` was asked, and how they were last."""
        self.ran: list[tuple[str, str]] = []
        """(phase, command), in order."""
        for resource in resources:
            self._now[resource.key] = shown(resource)

    def observe(self, keys: Collection[Key] = (), *, only: bool = False, anew: Collection[Key] = ()) -> State:
        """Return what there is; sysctls that are not ours only where asked for."""
        untouched = {key: one for key in keys if key not in self._now and (one := self._untouched(key))}
        learning = {link.name for link in self._links() if link.learning}
        return untouched | {
            key: self._as_shown(resource) if isinstance(resource, Link) else resource
            for key, resource in self._now.items()
            if told(resource, keys, only=only, anew=anew)
            and not (isinstance(resource, Pinned) and resource.dev in learning)
        }

    def owned(self, owner: str) -> list[Key]:
        """Return the links marked as *owner*'s, and what a guest's port may have beside."""
        nouns = ("link", "rate", "pinned") if owner.startswith("vm:") else ("link",)
        return [(noun, link.name) for link in self._links() if link.owner == owner for noun in nouns]

    def changed(self) -> set[Key]:
        """Return the keys of links, addresses and routes that came, went or changed since this was last asked."""
        self._note()
        found, self._changed = self._changed, set()
        return found

    def _note(self) -> None:
        told: dict[Key, Resource] = {
            key: one for key, one in self._now.items() if isinstance(one, Link | Address | Route)
        }
        before, self._seen = self._seen, told
        self._changed |= {key for key in {*before, *told} if before.get(key) != told.get(key)}

    def counters(self, names: Collection[str]) -> dict[str, dict[str, int]]:
        """Return what links have counted: nothing ever passes here."""
        return {
            name: dict.fromkeys(("rx_bytes", "tx_bytes", "rx_packets", "tx_packets"), 0)
            for name in names
            if ("link", name) in self._now
        }

    def forwarding(self) -> tuple[Heard, ...]:
        """Return nothing: no frame ever comes here."""
        return ()

    def tallies(self, pieces: Collection[str]) -> tuple[Tally, ...]:
        """Return the rules of *pieces*: nothing ever passes here."""
        found = [one for name in pieces if isinstance(one := self._now.get(("chains", name)), Chains)]
        texts = (one.text.replace(" counter ", " counter packets 0 bytes 0 ") for one in found)
        return together(tally for text in texts for tally in tallies(text))

    def cut(self, flows: Collection[Flow], *, at_host: bool) -> int:
        """Forget connections: a fake carries none."""
        del at_host
        return len(flows)

    def lacking(self, abilities: Collection[str]) -> frozenset[str]:
        """Return those of *abilities* that a test has said it lacks."""
        return self.lacks & frozenset(abilities)

    def disturbed(self) -> bool:
        """Return whether anybody but us may have changed nftables: a test that says so need not have told."""
        return True

    def appear(self, link: Link) -> None:
        """Have somebody else make *link*."""
        self._now[link.key] = shown(link)
        self._note()

    def vanish(self, name: str) -> None:
        """Have somebody else delete link *name*."""
        self._delete(self._link(name))
        self._note()

    def meddle(self, name: str, **values: Any) -> None:
        """Have somebody else change link *name*."""
        self._bring(self._link(name).model_copy(update=values))
        self._note()

    def apply(self, *ops: Op) -> None:
        """Carry out one operation, or several: all or none.  Raises `KernelError`."""
        before, own_mtu = dict(self._now), set(self._own_mtu)
        for op in ops:
            try:
                self._apply(op)
            except RefusedError as refused:
                self._now, self._own_mtu = before, own_mtu
                raise KernelError(str(op), refused.errno, os.strerror(refused.errno)) from refused
        self._note()

    def _apply(self, op: Op) -> None:
        resource, key = op.resource, op.resource.key
        match resource:
            case Link() if op.verb == "-":
                self._remove_link(resource)
            case Link():
                if op.verb == "+":
                    self._make(resource)
                self._bring(resource)
            case Address() if op.verb == "-":
                self._remove_address(resource)
            case Address():
                self._bring_address(resource)
            case Route() if op.verb == "-":
                self._now.pop(key, None)
            case Route():
                self._bring_route(resource)
            case Sysctl():
                self._set_sysctl(op.verb, resource)
            case Ethtool() if op.verb != "-":
                self._set_card(resource)
            case _:
                self._keep(op)

    def _keep(self, op: Op) -> None:
        if isinstance(op.resource, Hook | Scripts):
            self.ran += commands(op, op.resource)
        if isinstance(op.resource, Pinned) and op.verb != "-":
            refuse(errno.EOPNOTSUPP, unless=self._link(op.resource.dev).master == op.resource.bridge)
        if isinstance(op.resource, Chains) and op.verb != "-":
            refuse(errno.ENOENT, unless=op.resource.name == "base" or ("chains", "base") in self._now)
        if op.verb == "-":
            self._now.pop(op.resource.key, None)
        else:
            self._now[op.resource.key] = op.resource

    def _untouched(self, key: Key) -> Sysctl | Ethtool | None:
        """Return a link's setting, or its card's, that nobody has set: the card's as a veth's end has them."""
        if key[0] == "ethtool":
            link = self._now.get(("link", key[1]))
            known = CARD if getattr(link, "kind", "") in ("ethernet", "veth") else {}
            return Ethtool.model_construct(dev=key[1], **known) if link else None
        *_, dev, name = ("", *key[1].rsplit("/", 2))
        if key[0] != "sysctl" or "/conf/" not in key[1] or ("link", dev) not in self._now:
            return None
        return Sysctl.model_construct(name=key[1], value=SETTINGS[name], dev=dev)

    def _set_card(self, wanted: Ethtool) -> None:
        was = self._now.get(wanted.key) or self._untouched(wanted.key)
        if not isinstance(was, Ethtool):
            raise RefusedError(errno.ENODEV)
        self._now[wanted.key] = wanted.filled(was).model_copy(update={"owner": "", "origin": ""})

    def _set_sysctl(self, verb: str, wanted: Sysctl) -> None:
        if verb == "-":
            self._now.pop(wanted.key, None)
            return
        refuse(errno.ENOENT, unless=wanted.key in self._now or self._untouched(wanted.key) is not None)
        update = {"origin": "", "owner": wanted.owner if wanted.dev else ""}
        self._now[wanted.key] = wanted.model_copy(update=update)
        if wanted.name.endswith("/disable_ipv6") and wanted.value == "1":
            self._drop(key for key, one in self._now.items() if v6_on(one, wanted.dev))

    # Addresses and routes.

    def _bring_address(self, wanted: Address) -> None:
        link = self._link(wanted.dev)
        v6 = ip_interface(wanted.address).version == 6
        off = self._now.get(("sysctl", f"net/ipv6/conf/{wanted.dev}/disable_ipv6"))
        disabled = link.disable_ipv6 or (isinstance(off, Sysctl) and off.value == "1")
        refuse(errno.EACCES, unless=not (v6 and disabled))
        there = self._now.get(wanted.key)
        if isinstance(there, Address):
            changeable = {"owner", "metric", "valid_lifetime", "preferred_lifetime", *({"nodad", "peer"} if v6 else ())}
            wanted = there.model_copy(update={name: getattr(wanted, name) for name in changeable})
        self._now[wanted.key] = shown(wanted)

    def _remove_address(self, there: Address) -> None:
        self._now.pop(there.key, None)
        if ":" not in there.address and not any(v4_on(one, there.dev) for one in self._now.values()):
            self._drop(
                key for key, one in self._now.items() if key[:2] == ("route", "inet") and link_of(one) == there.dev
            )

    def _bring_route(self, wanted: Route) -> None:
        link = self._link(wanted.dev)
        refuse(errno.ENETDOWN, unless=link.up)
        if wanted.via and not wanted.onlink:
            near = any(reaches(one, wanted) for one in self._now.values())
            refuse(errno.ENETUNREACH if wanted.family == "inet" else errno.EHOSTUNREACH, unless=near)
        self._now[wanted.key] = shown(wanted)
