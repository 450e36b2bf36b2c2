"""All that a host has or should have, as plain data: `State`, and the nouns that are no links.

Sources: ip-address(8), ip-route(8), linux/if_addr.h, linux/rtnetlink.h, interfaces(5).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from pvenetd.cidr import spelled
from pvenetd.commands import Hook, Scripts
from pvenetd.kinds import make
from pvenetd.kinds.ethtool import Ethtool
from pvenetd.kinds.link import Link
from pvenetd.option import Ip
from pvenetd.pinned import Pinned
from pvenetd.resource import Changes, Key, Resource, spell
from pvenetd.shaping import Rate

State = Mapping[Key, Resource]
"""What the host has or should have, by key, in the order it was configured."""

MAIN_TABLE = 254
"""RT_TABLE_MAIN (linux/rtnetlink.h)."""

INTERFACES = "interfaces"
"""The owner of everything `/etc/network/interfaces` asks for."""

GUESTS = "guests"
"""The owner of what several guests share: it is in the State of each of them, and goes with the last."""


Lifetime = int | Literal["forever"]
"""Seconds left, or ``forever``: the kernel counts what is given down (IFA_CACHEINFO)."""


class Address(Resource):
    """An address of a link (ip-address(8))."""

    noun: ClassVar[str] = "address"
    rank: ClassVar[int] = 6
    named: ClassVar[frozenset[str]] = frozenset({"dev", "address"})
    fixed: ClassVar[frozenset[str]] = frozenset({"peer", "label", "broadcast", "scope", "noprefixroute"})

    dev: str
    address: Annotated[str, AfterValidator(spelled)]
    """``192.0.2.1/24``: the host's address with its prefix length, that of *peer* where there is one."""
    peer: Ip | Literal[""] = ""
    """The other end of a point-to-point link."""
    broadcast: Ip | None = None
    label: str = ""
    """The alias name ``eth0:1`` (IPv4 only)."""
    scope: str | None = None
    """``global``, ``site``, ``link``, ``host`` or ``nowhere``; IPv6 tells it from the address."""
    metric: int = 0
    """Of the route to the address's network; 0 is the kernel's own default."""
    valid_lifetime: Lifetime = "forever"
    preferred_lifetime: Lifetime = "forever"
    """How long new connections use it; 0: never, unless there is no other."""
    nodad: bool = False
    """Do not look for duplicates first (IPv6 only)."""
    noprefixroute: bool = False
    """Add no route to the address's network."""

    @property
    def key(self) -> Key:
        return ("address", self.dev, self.address)

    @property
    def needs(self) -> frozenset[Key]:
        return frozenset({("link", self.dev)})

    @property
    def dies_with(self) -> frozenset[Key]:
        return self.needs

    def details(self) -> list[str]:
        """Return what is not usual of it."""
        usual = {name: field.default for name, field in type(self).model_fields.items()} | {"scope": "global"}
        hidden = self.silent | self.named | {"owner"}
        return [
            f"{name}={spell(value)}" for name, value in self if name not in hidden and value not in (None, usual[name])
        ]

    def changes(self, current: Resource) -> Changes:
        """Return what differs; a lifetime that has begun to run does not, and another's is its own affair."""
        found = super().changes(current)
        for name in ("valid_lifetime", "preferred_lifetime"):
            if name in found and (not self.owner or _runs(*found[name])):
                del found[name]
        return found


def _runs(now: object, given: object) -> bool:
    return isinstance(now, int) and isinstance(given, int) and 0 < now <= given


class Route(Resource):
    """A route; its destination, table and metric are its name, so a new gateway replaces the old one."""

    noun: ClassVar[str] = "route"
    rank: ClassVar[int] = 7
    named: ClassVar[frozenset[str]] = frozenset({"family", "dst", "metric", "table"})

    family: str
    """``inet`` or ``inet6``."""
    dst: str = "default"
    metric: int = 0
    """0 is the kernel's own default: 0 for IPv4, 1024 for IPv6."""
    table: int = MAIN_TABLE
    """The routing table: the main one, or a VRF's."""
    dev: str
    via: Ip | None = None
    onlink: bool = False

    @property
    def key(self) -> Key:
        table = (f"table {self.table}",) if self.table != MAIN_TABLE else ()
        return ("route", self.family, self.dst, str(self.metric), *table)

    def describe(self) -> str:
        """Return ``route default``, with what is not usual: ``route inet6 2001:db8::/32 metric 100 table 1001``."""
        family = [self.family] if self.family != "inet" else []
        metric = ["metric", str(self.metric)] if self.metric else []
        table = ["table", str(self.table)] if self.table != MAIN_TABLE else []
        return " ".join(["route", *family, self.dst, *metric, *table])

    def details(self) -> list[str]:
        """Return where it leads."""
        return [f"dev={self.dev}", *([f"via={self.via}"] if self.via else []), *(["onlink=yes"] if self.onlink else [])]

    @property
    def needs(self) -> frozenset[Key]:
        return frozenset({("link", self.dev)})

    @property
    def dies_with(self) -> frozenset[Key]:
        return self.needs


class Sysctl(Resource):
    """A kernel setting below /proc/sys: one of an interface, or of the whole host.

    An interface's is marked by a record of what was set, and goes back to what new interfaces have; the
    host's carries no mark, so it is set and never reset.
    """

    noun: ClassVar[str] = "sysctl"
    named: ClassVar[frozenset[str]] = frozenset({"name"})
    rank: ClassVar[int] = 1
    silent: ClassVar[frozenset[str]] = Resource.silent | {"dev"}

    name: str
    """Path below /proc/sys: ``net/ipv4/ip_forward``."""
    value: str | None
    """None, of a current one: this kernel does not have it, and can do without."""
    dev: str = ""
    """The interface it is a setting of; empty for the host's."""

    @property
    def key(self) -> Key:
        return ("sysctl", self.name)

    @property
    def needs(self) -> frozenset[Key]:
        return frozenset({("link", self.dev)}) if self.dev else frozenset()

    @property
    def dies_with(self) -> frozenset[Key]:
        return self.needs

    @property
    def silences_link_local(self) -> bool:
        """Return whether the kernel is to make no link-local addresses; those it has made would stay."""
        return self.name.endswith("/addr_gen_mode") and self.value == "1"

    def changes(self, current: Resource) -> Changes:
        """Return what differs."""
        if getattr(current, "value", None) is None:
            return {}
        found = super().changes(current)
        if not self.dev:
            found.pop("owner", None)
        return found


class Fdb(Resource):
    """An entry that somebody has made in a forwarding table (bridge(8) "fdb"): it goes with its link and its bridge.

    Read only where a plan takes its link along, to be put back in the same plan.
    """

    noun: ClassVar[str] = "fdb"
    rank: ClassVar[int] = 6
    named: ClassVar[frozenset[str]] = frozenset({"dev", "mac", "vlan", "bridge", "dst"})

    dev: str
    mac: str
    vlan: int = 0
    """0 for none."""
    bridge: str = ""
    """Whose table it stands in; empty for that of the link itself, a VXLAN's."""
    dst: str = ""
    """The other end point of a VXLAN."""
    state: int = 0
    """NUD_PERMANENT, NUD_NOARP (linux/neighbour.h)."""
    flags: int = 0
    """NTF_STICKY."""

    @property
    def key(self) -> Key:
        return ("fdb", self.dev, self.mac, str(self.vlan), self.bridge or self.dst)

    def describe(self) -> str:
        """Return ``fdb vxlan100 02:00:5e:00:53:01 vlan=5``."""
        more = {"vlan": self.vlan, "bridge": self.bridge, "dst": self.dst}
        return " ".join(["fdb", self.dev, self.mac, *(f"{name}={value}" for name, value in more.items() if value)])

    def details(self) -> list[str]:
        return []

    @property
    def needs(self) -> frozenset[Key]:
        return frozenset(("link", name) for name in (self.dev, self.bridge) if name)

    @property
    def dies_with(self) -> frozenset[Key]:
        return self.needs


class Chains(Resource):
    """A part of our nftables tables that is replaced as a whole, in one transaction.

    The kernel keeps *digest* beside the chains, so the two sides are compared by it; *text* is
    the nft input that loads them, or puts them back.
    """

    noun: ClassVar[str] = "chains"
    named: ClassVar[frozenset[str]] = frozenset({"name"})
    rank: ClassVar[int] = 3
    silent: ClassVar[frozenset[str]] = Resource.silent | {"text", "wire", "owner"}

    name: str
    """``base`` (hooks, maps), ``host``, ``nat``, or the owner of the guest's chains, ``vm:100``."""
    digest: str
    """SHA-256 (hexadecimal) of what is to be loaded."""
    text: str = ""
    wire: Annotated[Callable[[str], bytes] | None, Field(exclude=True, repr=False)] = None
    """What makes nfnetlink messages of the text of a guest's: nothing where they cannot say it (`firewall.wire`)."""

    @property
    def key(self) -> Key:
        return ("chains", self.name)

    @property
    def needs(self) -> frozenset[Key]:
        """Return what its rules may refer to: everything the base, guests and the host groups and sets, groups sets."""
        below = {"base": (), "bridges": ("base",), "sets": ("base",), "groups": ("base", "sets")}.get(
            self.name, ("base", "sets", "groups")
        )
        return frozenset(("chains", name) for name in below)

    def details(self) -> list[str]:
        return [f"digest={self.digest[:12]}"]


class Client(Resource):
    """A DHCP client of an interface (RFC 2131, RFC 8415): what it leases is its own affair.

    It is there when it has been started: an address comes when a server answers.
    """

    noun: ClassVar[str] = "client"
    named: ClassVar[frozenset[str]] = frozenset({"iface", "family"})
    rank: ClassVar[int] = 8
    silent: ClassVar[frozenset[str]] = Resource.silent | {"owner"}

    iface: str
    family: str
    """``inet`` or ``inet6``."""
    hostname: str = ""
    leasetime: int | None = None
    """Seconds."""
    vendor: str = ""
    client_id: str = ""
    metric: int | None = None
    """Of the routes it adds."""
    prefix: bool = False
    """Ask for a prefix, too (DHCPv6)."""
    stateless: bool = False
    """Ask for no address (DHCPv6)."""
    mac: str = ""
    """The interface's, where it is configured: with another one the client is started anew."""
    attempts: int = 60
    interval: float = 0.1
    """How often to look for a link-local address before DHCPv6 begins, and the seconds between."""

    @property
    def key(self) -> Key:
        return ("client", self.iface, self.family)

    @property
    def needs(self) -> frozenset[Key]:
        return frozenset({("link", self.iface)})

    @property
    def redone_with(self) -> Key:
        return ("link", self.iface)

    def changes(self, current: Resource) -> Changes:
        """Return what differs; an option that is gone is one, too."""
        return {
            name: (was, value)
            for name, value in vars(self).items()
            if name not in self.silent and (was := getattr(current, name, None)) != value
        }


class Dns(Resource):
    """What the host's resolver is told for an interface (resolvconf(8), resolvectl(1))."""

    noun: ClassVar[str] = "dns"
    named: ClassVar[frozenset[str]] = frozenset({"iface"})
    rank: ClassVar[int] = 8
    silent: ClassVar[frozenset[str]] = Resource.silent | {"owner"}

    iface: str
    nameservers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    domain: tuple[str, ...] = ()
    sortlist: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    @property
    def key(self) -> Key:
        return ("dns", self.iface)

    @property
    def needs(self) -> frozenset[Key]:
        return frozenset({("link", self.iface)})

    @property
    def redone_with(self) -> Key:
        return ("link", self.iface)


NOUNS: dict[str, type[Resource]] = {
    noun.noun: noun for noun in (Address, Route, Sysctl, Fdb, Pinned, Rate, Chains, Hook, Client, Dns, Scripts, Ethtool)
}


def state(resources: Iterable[Resource]) -> dict[Key, Resource]:
    """Return the State of *resources*; of two with one key the last stands."""
    return {resource.key: resource for resource in resources}


def to_json(resources: State) -> list[dict[str, Any]]:
    """Return *resources* as records that `from_json` reads back: what a checkpoint holds."""
    return [
        {"noun": resource.noun, **resource.model_dump(mode="json", exclude_unset=True)}
        | ({"kind": resource.kind} if isinstance(resource, Link) else {})
        for resource in resources.values()
    ]


def from_json(records: Iterable[dict[str, Any]]) -> dict[Key, Resource]:
    """Return the State of records; a record without a noun is a link.  Nothing is validated: it was once true."""
    return state(_resource(record) for record in records)


def _resource(record: dict[str, Any]) -> Resource:
    values = {name: value for name, value in record.items() if name != "noun"}
    noun = record.get("noun", "link")
    return make(values) if noun == "link" else NOUNS[noun].model_construct(**_tuples(values))


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {name: _tuple(value) for name, value in values.items()}


def _tuple(value: Any) -> Any:
    return tuple(_tuple(item) for item in value) if isinstance(value, list) else value
