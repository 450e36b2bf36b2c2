"""pvenetd-interfaces(5): every option with its meaning, range, default and kernel attribute, from the fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

from pvenetd import addressing, methods, sysctls, vocabulary
from pvenetd.interfaces.stanza import FAMILIES
from pvenetd.kinds import KINDS
from pvenetd.kinds.ethtool import Ethtool
from pvenetd.kinds.link import Link
from pvenetd.kinds.port import Port
from pvenetd.kinds.tap import Tap
from pvenetd.meanings import meanings
from pvenetd.nat.option import OPTIONS as NAT
from pvenetd.option import TICKS, Option

GRAMMAR = {
    "auto NAME...": "what is brought up at boot, and by an apply, with all it stands on; allow-auto is the same",
    "allow-hotplug NAME...": "what is brought up when its device turns up",
    "allow-CLASS NAME...": "any other class: kept",
    "iface NAME [FAMILY [METHOD]] [inherits TEMPLATE]": (
        f"a stanza; families are {', '.join(FAMILIES)}. Several of one name add up. Without a family (ifupdown2) its "
        "addresses are of either"
    ),
    "template NAME": "a stanza that is only inherited from",
    "mapping PATTERN...": "with script and map lines below: kept",
    "no-auto-down NAME..., no-scripts NAME..., rename CUR=NEW...": "kept",
    "source PATTERN..., source-directory PATTERN...": (
        "read other files where the line stands; a relative path is that of the file it stands in"
    ),
}
METHODS = {
    "static": "has the addresses its stanza says",
    "manual": "has none",
    "loopback": "the loopback interface, whose own addresses the kernel gives",
    "dhcp": (
        "leases them by a DHCP client, dhclient or dhcpcd, whichever is installed: it is started with the interface, "
        "and releases its lease when either goes. An apply does not wait for the address; commands may have to"
    ),
    "auto (inet6)": "makes them of what routers advertise; accept-ra 2 and autoconf 1 where nothing else is said",
    ", ".join(sorted(methods.NOT_APPLIED)): "kept, told of, and not applied",
}
COMMANDS = {
    "pre-up": "before the interface is up",
    "up, post-up": "after it is up",
    "pre-down, down": "before it goes down, or what was said before is undone",
    "post-down": "after it is down",
    vocabulary.ALWAYS_OPTION: "yes: at every apply, not only when the interface comes up or their text has changed",
}
PORTS = {
    "bridge-access": "the one VLAN of a port, untagged",
    "bridge-allow-untagged": "no: frames without a tag are dropped",
    "bridge-vids": "the VLANs a port carries tagged",
    "bridge-pvid": "the VLAN of a port's untagged frames; 0: none",
}
CLAIMED = {
    "ethernet": "A stanza that no other kind claims: a NIC, or a link that another program makes.",
    "loopback": "The stanza of lo.",
    "bridge": "A stanza with bridge-ports or bridge-vlan-aware.",
    "bond": "A stanza with bond-slaves or bond-mode; a slave may say bond-master BOND in its own.",
    "vlan": "A name like eno1.5, or a stanza with vlan-id or vlan-raw-device.",
    "vxlan": "A stanza with vxlan-id.",
    "geneve": "A stanza with geneve-id.",
    **{mode: f"A stanza with tunnel-mode {mode}." for mode in ("gre", "gretap", "ip6gre", "ip6gretap", "vti", "vti6")},
    "ipip": "IPv4 in IPv4: a stanza with tunnel-mode ipip.",
    "sit": "IPv6 in IPv4: a stanza with tunnel-mode sit, or of method v4tunnel.",
    "ip6tnl": "IPv6, IPv4 or both in IPv6: a stanza with tunnel-mode ip6ip6, ipip6 (or ip4ip6) or any.",
    "vrf": "A stanza with vrf-table; its members say vrf NAME.",
    "veth": "A stanza with link-type veth or veth-peer-name, and the one that it names.",
    "macvlan": "A stanza with macvlan-raw-device.",
    "macvtap": "A stanza with link-type macvtap and macvlan-raw-device.",
    "dummy": "A stanza with link-type dummy.",
    "ifb": "A stanza with link-type ifb.",
}
"""Kind → how a stanza of it is known; of other kinds the module tells."""


def described(kind: type[Any]) -> Iterator[tuple[str, FieldInfo, Option]]:
    """Yield (field, its facts, its option) of every option that *kind* reads from a stanza."""
    for name, field in kind.model_fields.items():
        for option in field.metadata:
            if isinstance(option, Option) and option.name:
                yield name, field, option


def own(kind: type[Any]) -> list[tuple[str, FieldInfo, Option]]:
    """Return the options of *kind* that are not those of every link."""
    common = {(name, option) for name, _, option in described(Link)}
    return [(name, field, option) for name, field, option in described(kind) if (name, option) not in common]


def values(field: FieldInfo, option: Option) -> str:
    """Return what *option* takes: a range with its unit, names, or what its type says."""
    limits: dict[str, Any] = {}
    for fact in _facts(field):
        match fact:
            case Ge(ge):
                limits["from"] = ge
            case Gt(gt):
                limits["from"] = gt + 1
            case Le(le):
                limits["to"] = le
            case Lt(lt):
                limits["to"] = lt - 1
    unit = " seconds" if option.wire is TICKS else ""
    if "to" in limits:
        return f"{limits.get('from', 0)} to {limits['to']}{unit}"
    names = getattr(getattr(option.wire, "to", None), "__self__", None)
    if isinstance(names, (tuple, dict)):
        return ", ".join(map(str, names))
    text = str(field.annotation)
    return next((word for part, word in _TYPES if part in text), "text") + unit


_TYPES = (("bool", "yes or no"), ("tuple", "words"), ("float", "a number"), ("int", "a whole number"), ("str", "text"))


def _facts(field: FieldInfo) -> Iterator[Any]:
    yield from field.metadata
    todo: list[Any] = [field.annotation]
    while todo:
        part = todo.pop()
        for fact in getattr(part, "__metadata__", ()):
            yield from fact.metadata if isinstance(fact, FieldInfo) else (fact,)
        todo += [arm for arm in getattr(part, "__args__", ()) if arm is not None]


def spelled(value: object) -> str:
    """Return a default as it would be written."""
    if value is None:
        return "as it is"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return " ".join(map(str, value)) or "none"
    return str(value) or "none"


def table(kind: type[Any], rows: list[tuple[str, FieldInfo, Option]], escape: Any) -> list[str]:
    """Return the entries of *rows*, options of *kind*."""
    meaning = meanings(kind)
    lines: list[str] = []
    for name, field, option in rows:
        facts = [values(field, option)]
        facts += ["required" if field.is_required() else f"default: {spelled(field.default)}"]
        attribute = " or ".join(filter(None, (option.nl, option.nl6)))
        facts += [attribute] if attribute else []
        facts += ["several lines add up"] if option.several else []
        also = f" (also {', '.join(option.aliases)})" if option.aliases else ""
        lines += [".TP", f".B {escape(option.name)}{escape(also)}"]
        lines += [escape(" ".join(meaning.get(name, "").split())), ".br", f"\\fI{escape('; '.join(facts))}\\fR"]
    return lines


def page(header: Any, entries: Any, escape: Any, codes: Mapping[str, str]) -> str:
    """Return the page."""
    lines = header("pvenetd-interfaces", 5, "what pvenetd reads of /etc/network/interfaces")
    lines += [
        ".SH DESCRIPTION",
        "The format is that of ifupdown, ifupdown2 and Proxmox VE. A line ends where it ends, unless its last",
        "character is a backslash; one that begins with # is a comment. In names of options _ and \\- are the same.",
        "Nothing is lost: what is unknown is kept, told of, and passed to the commands as a variable IF_OPTION.",
        ".PP",
        "Below each option stand its values, its default, and the kernel's attribute. The default of an option that",
        "is removed takes effect again; \\(lqas it is\\(rq is left alone.",
        ".SH STANZAS",
        *entries(GRAMMAR.items()),
        ".SS Methods",
        *entries(METHODS.items()),
        ".SH ADDRESSES AND GATEWAYS",
        "In a stanza with several addresses, what stands behind one is that one's; so it is with gateways and metrics.",
        *entries(addressing.OPTIONS.items()),
        ".SH KERNEL SETTINGS",
        *entries(
            (name, f"{setting.about} ({'0, 1 or 2' if '2' in setting.values else 'yes or no'}; {setting.path})")
            for name, setting in sysctls.OPTIONS.items()
        ),
        "Without its option a setting is left alone, or goes back to what new interfaces have if it was set by one.",
        ".SH DHCP AND NAME SERVERS",
        *entries(methods.OPTIONS.items()),
        ".SH COMMANDS",
        "Run by /bin/sh, in the order they stand, with the variables of interfaces(5).",
        *entries(COMMANDS.items()),
        ".SH NAT",
        "In the stanza of the interface that has the private network; several lines are several.",
        "What NAT translates has to be routed, so with any of these the host routes packets of that family",
        "(net/ipv4/ip_forward, net/ipv6/conf/all/forwarding). Between the host's own networks nothing is translated,",
        "as it leaves by no interface that is named.",
        *entries(NAT.items()),
        "The iptables(8) commands of Proxmox VE's documentation mean the same; \\fBpvenetd\\-nat\\fR(7).",
        ".SH ALL INTERFACES",
        *table(Link, [row for row in described(Link) if row[0] not in Port.model_fields], escape),
        ".SH PORTS OF A BRIDGE",
        "In the stanza of the port; in that of the bridge for all its ports, or for PORT=VALUE....",
        *entries(PORTS.items()),
        *table(Port, [*described(Port)], escape),
        ".SH THE CARD",
        "What ethtool(8) sets, of a NIC, a bond or any other link that has such settings.",
        *table(Ethtool, [*described(Ethtool)], escape),
    ]
    for name, kind in KINDS.items():
        if kind is Tap or not (own(kind) or name in CLAIMED):
            continue
        lines += [f".SH {escape(name.upper())}", escape(CLAIMED.get(name) or (kind.__doc__ or "").splitlines()[0])]
        lines += table(kind, own(kind), escape)
    lines += [
        ".SH KEPT, NOT APPLIED",
        "These are known, told of, and left to the program that knows them:",
        escape(", ".join(sorted(vocabulary.NOT_APPLIED))) + ",",
        escape(", ".join(f"{prefix}*" for prefix in vocabulary.OTHERS)) + ".",
        "These need nothing, as what they ask for holds anyway:",
        escape(", ".join(sorted(vocabulary.NEEDLESS))) + ".",
        ".SH CODES",
        "What \\fBpvenetctl interfaces check\\fR tells of:",
        *entries(codes.items()),
    ]
    pages = ("pvenetctl\\fR(1)", "pvenetd\\fR(8)", "interfaces\\fR(5)", "ip\\-link\\fR(8)", "bridge\\fR(8)")
    return "\n".join([*lines, ".SH SEE ALSO", ", ".join(f"\\fB{page}" for page in pages)]) + "\n"
