"""A network device, of whatever kind: what all links have, and what a bridge's port has.

Sources: ip-link(8), bridge(8), linux/if_link.h (IFLA_*, IFLA_BRPORT_*).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, ClassVar, Self, get_args

from pydantic import BeforeValidator, Field
from pydantic.fields import FieldInfo

from pvenetd.kinds import port
from pvenetd.option import IFINDEX, PLAIN, Mtu, Note, Option, OwnMac, VlanSet, Wire, annotated, yes_no
from pvenetd.resource import Key, spell


def _not_down(value: object) -> object:
    return not yes_no(value) if isinstance(value, str) else value


class Link(port.Port):
    """What every link has."""

    noun: ClassVar[str] = "link"
    rank: ClassVar[int] = 4
    named: ClassVar[frozenset[str]] = frozenset({"name"})
    silent: ClassVar[frozenset[str]] = port.Port.silent | {"made_here", "altnames", "mac_of"}
    kinds: ClassVar[tuple[str, ...]] = ()
    """The kernel's IFLA_INFO_KIND of this kind; empty for devices that only turn up."""
    module: ClassVar[str] = ""
    """The kernel's module that makes them, where it has another name than the kind."""
    prefix: ClassVar[str] = "IFLA_-"
    """How the names of this kind's own attributes begin (IFLA_INFO_DATA)."""
    fixed: ClassVar[frozenset[str]] = frozenset({"kind"})
    first: ClassVar[frozenset[str]] = frozenset()
    """Fields that are told when it is made already, though they can be changed later."""
    telling: ClassVar[str] = "each"
    """How the kernel is told of changes in IFLA_INFO_DATA: ``each`` by itself and in the fields' order, all that is
    ``changed`` in one message, or ``all`` there is, because what is not said goes back to its default."""
    port_only: ClassVar[frozenset[str]] = port.FIELDS | {"pvid", "vids"}
    """What its bridge keeps, and forgets when it is no port any more."""
    can_be_port: ClassVar[bool] = True
    """Whether its stanza may say what a bridge keeps of its port; a bridge's says it of all its ports."""
    lower_fields: ClassVar[tuple[str, ...]] = ()
    """Fields that name the links it stands on: they must be there, are brought up with it, and take it along."""
    carriers: ClassVar[str] = ""
    """What may be named there, in words; empty where every link may."""
    like_lower: ClassVar[bool] = False
    """Its MTU is that of the link below where nothing says otherwise, and cannot be larger."""

    kind: str = ""
    name: str
    made_here: bool = True
    """pvenetd makes it, and deletes it; False where another program does, and it is only configured."""
    up: Annotated[bool, BeforeValidator(_not_down), Option("link-down")] = True
    """Administratively up (IFF_UP): ``link-down yes`` keeps it down."""
    alias: Annotated[Note | None, Option("alias", ("description",))] = ""
    """Words for people, shown by ip(8) after the mark that it is ours; at most 200 bytes."""
    txqueuelen: Annotated[int | None, Field(ge=0, lt=2**31), Option("txqueuelen", ("txqlen",), nl="IFLA_TXQLEN")] = None
    """Packets that wait to be sent; without it, or without it again, as it is."""
    mtu: Annotated[Mtu | None, Option("mtu", nl="IFLA_MTU")] = None
    """Largest packet in bytes."""
    mac: Annotated[OwnMac | None, Option("hwaddress", nl="IFLA_ADDRESS")] = None
    """Hardware address; without one it stays as it is."""
    mac_of: tuple[str, ...] = ()
    """Links of which the first that is there lends its MAC when this one is made, where it has none of its own."""
    master: Annotated[str | None, Option("vrf", nl="IFLA_MASTER", wire=IFINDEX)] = ""
    """The VRF it belongs to; a bridge or bond, whose own stanza names it as a port; empty for none."""
    group: int | None = None
    """IFLA_GROUP: all of one guest's links carry its VMID, to be deleted in one go."""
    altnames: tuple[str, ...] = ()
    """Other names it answers to (``ip link property``), as the kernel shows them; nothing is configured by them."""
    disable_ipv6: bool | None = None
    """Keep the host's own IPv6 off this link: a guest's port is no link of the host's."""

    pvid: int | None = None
    """VLAN of untagged frames on a port of a VLAN-aware bridge, 0 for none."""
    vids: VlanSet | None = None
    """VLANs the port carries, its pvid included."""

    @property
    def key(self) -> Key:
        return ("link", self.name)

    @property
    def needs(self) -> frozenset[Key]:
        wanted: set[Key] = set()
        if self.master:
            wanted.add(("link", self.master))
        if self.backup_port:
            wanted.add(("link", self.backup_port))
        if self.owner.startswith("vm:"):
            wanted.add(("chains", self.owner))
        return frozenset(wanted) | {("link", name) for name in self.lower}

    @property
    def dies_with(self) -> frozenset[Key]:
        return frozenset(("link", name) for name in self.lower)

    @property
    def lower(self) -> tuple[str, ...]:
        """Return the links it stands on."""
        return tuple(name for field in self.lower_fields if (name := getattr(self, field, None)))

    @property
    def over_ipv6(self) -> bool:
        """Return whether what it sends is carried in IPv6."""
        return False

    @property
    def follows(self) -> frozenset[str]:
        """Return the fields that come right by themselves, and that the kernel will not be told."""
        return frozenset()

    @property
    def overhead(self) -> int:
        """Return how many bytes longer than its own packets those are that carry them."""
        return 0

    def usual_mtu(self, below: int | None) -> int | None:
        """Return its MTU where nothing says otherwise; *below* is that of the link it stands on, None for none."""
        return below if self.like_lower else None

    def composed(self) -> dict[str, Any]:
        """Return attributes that follow from several fields; of kinds that are told all at once."""
        return {}

    @property
    def creatable(self) -> bool:
        return bool(self.kinds) and self.made_here

    @property
    def deletable(self) -> bool:
        return self.creatable

    def after(self, gone: frozenset[Key]) -> Self:
        """Return this link as the kernel leaves it when its master goes: no port any more, and down for nobody."""
        if not self.master or ("link", self.master) not in gone:
            return self
        free = {name: type(self).model_fields[name].default for name in self.port_only}
        return self.model_copy(update={"master": "", **free})

    def describe(self) -> str:
        return f"link {self.name}"

    def details(self) -> list[str]:
        hidden = self.silent | {"owner", "name", "kind", "up", "group"}
        shown = [
            f"{name}={spell(value)}"
            for name, value in sorted(self, key=lambda item: _order(item[0]))
            if name not in hidden and name in self.model_fields_set and value not in (None, "", ())
        ]
        return [self.kind or "link", *shown]


def _order(name: str) -> tuple[int, str]:
    first = ("master", "mtu", "mac", "pvid", "vids")
    return (first.index(name), "") if name in first else (len(first), "")


@cache
def options(kind: type[Link]) -> dict[str, tuple[str, Option]]:
    """Return, by spelling (with dashes), the field and the option of *kind* that it sets."""
    return {
        spelling: (name, option)
        for name, option in annotated(kind)
        if kind.can_be_port or name not in port.FIELDS
        for spelling in (option.name, *option.aliases)
        if spelling
    }


@cache
def whole_numbers(kind: type[Link]) -> frozenset[str]:
    """Return the fields of *kind* that are whole numbers."""
    return frozenset(name for name, field in kind.model_fields.items() if _is_number(field))


def _is_number(field: FieldInfo) -> bool:
    arms = get_args(field.annotation) or (field.annotation,)
    return float not in arms and any(int in (arm, *get_args(arm)[:1]) for arm in arms)


@cache
def attributes(kind: type[Link]) -> tuple[tuple[str, Option, Wire], ...]:
    """Return (field, option, wire) for every field of *kind* that is a netlink attribute."""
    return tuple((name, option, option.wire or PLAIN) for name, option in annotated(kind) if option.nl)


def wants_down(wanted: Link, values: Mapping[str, object]) -> bool:
    """Return whether the kernel takes one of *values* only while the link is down."""
    return any(option.down and values.get(field) is not None for field, option, _ in attributes(type(wanted)))
