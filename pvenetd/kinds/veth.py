"""Veth: a pair of links joined like a cable: ``link-type veth`` and ``veth-peer-name`` (ip-link(8), veth(4))."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import AfterValidator

from pvenetd.kinds.link import Link
from pvenetd.names import is_ifname
from pvenetd.option import IFINDEX, Mtu, Option
from pvenetd.resource import Changes, Key, Resource


def _name(text: str | None) -> str | None:
    if text is not None and not is_ifname(text):
        raise ValueError("the kernel takes no such name: at most 15 bytes, without blanks, slashes and colons")
    return text


class Veth(Link):
    """One end of a pair: whichever is made first makes the other, and they go together."""

    kinds: ClassVar[tuple[str, ...]] = ("veth",)
    fixed: ClassVar[frozenset[str]] = Link.fixed | {"peer"}

    kind: str = "veth"
    mtu: Annotated[Mtu | None, Option("mtu", nl="IFLA_MTU")] = 1500
    """Largest packet in bytes; that of the other end should be the same."""
    peer: Annotated[str | None, AfterValidator(_name), Option("veth-peer-name", nl="IFLA_LINK", wire=IFINDEX)] = None
    """The other end; it needs no stanza, and may have one."""

    @property
    def dies_with(self) -> frozenset[Key]:
        return frozenset({("link", self.peer)} if self.peer else ())

    def changes(self, current: Resource) -> Changes:
        """Return what differs; an end whose other end was moved to another network namespace stays as it is."""
        found = super().changes(current)
        if getattr(current, "peer", "") is None:
            found.pop("peer", None)
        return found

    def kept(self, desired: Mapping[Key, Resource]) -> bool:
        """Return whether the other end is wanted with this one."""
        return getattr(desired.get(("link", self.peer or "")), "peer", None) == self.name

    def possible(self, desired: Mapping[Key, Resource]) -> bool:
        """Return whether the other end, where it is wanted, is wanted with this one."""
        other = desired.get(("link", self.peer or ""))
        return other is None or (isinstance(other, Veth) and other.peer in (None, self.name))

    @classmethod
    def claims(cls, name: str, options: Mapping[str, str]) -> bool:
        """Return whether a stanza with *options* is an end of a pair."""
        return options.get("link-type") == "veth" or "veth-peer-name" in options
