"""The host as it is told on one screen and as a picture: links, bridges, what is configured, what is loaded."""

from __future__ import annotations

from collections import defaultdict
from typing import Literal, NotRequired

from typing_extensions import TypedDict

from pvenetd.daemon.guest_records import GuestRecord
from pvenetd.daemon.slices import in_slices
from pvenetd.kinds.bridge import Bridge
from pvenetd.kinds.ethernet import Foreign
from pvenetd.kinds.link import Link
from pvenetd.option import ZeroOne
from pvenetd.state import Address, State


class WaitingRecord(TypedDict):
    """What waits to be confirmed."""

    id: str
    seconds: float
    """Until it is rolled back."""


class ConfigurationRecord(TypedDict):
    """How the interfaces' configuration stands to the kernel."""

    mode: Literal["owner", "guest"]
    """Whether pvenetd brings up the host's interfaces, or whatever else does."""
    staged: ZeroOne
    waiting: list[str]
    """Links that are configured, and cannot be before their device turns up."""
    nics: list[str]
    """NICs that are not there, a sentence each."""
    state: Literal["in sync", "staged", "differs", "broken", "waiting for confirmation"]
    applied: NotRequired[ZeroOne]
    """Whether anything was ever applied; as the next two, missing where the configuration is broken."""
    drift: NotRequired[int]
    """Operations that would bring the host back to what was last applied."""
    plan: NotRequired[int]
    """Operations that an apply would run."""
    switch: NotRequired[list[str]]
    """What would change if pvenetd brought up the interfaces, as a plan shows it; only where it does not yet."""
    error: NotRequired[str]
    confirm: NotRequired[WaitingRecord]


class BridgeRecord(TypedDict):
    """A bridge."""

    name: str
    up: ZeroOne
    vlan_aware: ZeroOne
    mtu: int | None
    ports: list[str]
    addresses: list[str]


class RemarkRecord(TypedDict):
    """What is told of another program that has rules or bridges here."""

    who: str
    text: str
    hint: str
    """What the admin may do."""
    severity: Literal["note", "warning"]


class LackRecord(TypedDict):
    """Something that the kernel cannot do."""

    ability: str
    """``conntrack``, ``bridge``, ``queue``, ``log``, ``fib``, ``answers``, ``helper ftp tcp``."""
    needs: str
    """The modules that would bring it, or the options that the kernel is built with."""
    means: str
    """What becomes of rules without it."""
    rules: list[str]
    """The lines that ask for it: ``100.fw:5``."""


class FilteringRecord(TypedDict):
    """What is loaded."""

    enabled: ZeroOne
    backend: str
    design: str
    """How answers are known on bridges: ``ct`` or ``mark``."""
    loaded: list[str]
    drift: list[str]
    """Pieces that are not loaded as the files have them."""
    stopped: list[str]
    """Ports that nothing passes, for nobody has announced them."""
    lacks: list[LackRecord]
    """What rules may need and this kernel does not have."""
    confirm: NotRequired[WaitingRecord]


class HealthRecord(TypedDict):
    """Whether all is well."""

    status: Literal["ok", "degraded"]
    reasons: list[str]
    """What is not, a sentence each."""


class SeenRecord(TypedDict):
    """How everything is seen to be."""

    version: str
    interfaces: ConfigurationRecord
    bridges: list[BridgeRecord]
    guests: list[GuestRecord]
    neighbours: list[RemarkRecord]
    firewall: FilteringRecord
    libvirt: str
    errors: dict[str, str]
    """What has failed, by owner: ``interfaces``, ``firewall``, ``vm:100``, ``kernel``, …"""


class StatusRecord(SeenRecord):
    """How everything is, and whether that is well."""

    health: HealthRecord


class LinkRecord(TypedDict):
    """A link with what it is a port of or stands on."""

    name: str
    kind: str
    up: ZeroOne
    master: str
    parent: str
    vlan: int | None
    owner: str
    mtu: int | None
    pvid: int | None
    vids: str
    managed: ZeroOne
    """Whether it is of a kind that pvenetd configures."""
    addresses: list[str]


async def links(live: State) -> list[LinkRecord]:
    """Return every link but lo."""
    found = [link for link in live.values() if isinstance(link, Link) and link.kind != "loopback"]
    addresses = _addresses(live)
    return [
        {
            "name": link.name,
            "kind": link.kind,
            "up": int(link.up),
            "master": link.master or "",
            "parent": getattr(link, "raw_device", ""),
            "vlan": getattr(link, "vlan_id", None),
            "owner": link.owner,
            "mtu": link.mtu,
            "pvid": link.pvid,
            "vids": link.vids or "",
            "managed": int(not isinstance(link, Foreign)),
            "addresses": addresses[link.name],
        }
        async for link in in_slices(found)
    ]


def bridges(live: State) -> list[BridgeRecord]:
    """Return every bridge with its ports."""
    ports: defaultdict[str, list[str]] = defaultdict(list)
    for link in live.values():
        if isinstance(link, Link) and link.master:
            ports[link.master].append(link.name)
    addresses = _addresses(live)
    return [
        {
            "name": bridge.name,
            "up": int(bridge.up),
            "vlan_aware": int(bridge.vlan_aware),
            "mtu": bridge.mtu,
            "ports": ports[bridge.name],
            "addresses": addresses[bridge.name],
        }
        for bridge in live.values()
        if isinstance(bridge, Bridge)
    ]


def _addresses(live: State) -> defaultdict[str, list[str]]:
    """Return the addresses by their link."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for one in live.values():
        if isinstance(one, Address):
            found[one.dev].append(one.address)
    return found
