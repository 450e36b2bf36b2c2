"""Lines of a case played by the simulator, on a picture of the same world."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

from pvenetd.firewall.match import Packet, State
from pvenetd.firewall.ruleset import ARP, IP, IP6, QINQ, RARP, VLAN, IcmpType, Span
from pvenetd.firewall.simulate import Map, Outcome, Place, simulate
from tests.kernel.firewall import Rules
from tests.kernel.lines import Line
from tests.kernel.world import ACCESS, STATIONS, World

_KINDS = {"arp": ARP, "arp-reply": ARP, "rarp": RARP}
_ND = {"rs": 133, "ra": 134, "ns": 135, "na": 136, "mld": 143}
_STATES: dict[str, State] = {
    "new": "new",
    "established": "established",
    "related": "related",
    "invalid": "invalid",
}


def outcome(
    line: Line,
    rules: Rules,
    world: World,
    *,
    translates_first: bool,
    vlans: bool = False,
) -> Outcome:
    """Return what becomes of the packet of *line*, by the simulator."""
    addresses = {(version, int(ip_address(text))): zone for (zone, version), text in world.addresses.items()}
    host = Map(
        own=[
            (version, int(ip_address(world.host_address(zone, version))))
            for zone in ("outside", "vm/102")
            for version in (4, 6)
        ],
        stations={key: _place(zone) for key, zone in addresses.items() if zone != "host"},
        translates_first=translates_first,
        stopped=rules.stopped,
    )
    places = [_place(zone) for zone in (line.source, line.dest)]
    if vlans:
        tag = int(line.options.get("tag", "1").partition(",")[0])
        vlan = ACCESS.get(line.source) or ACCESS.get(line.dest) or tag
        places = [replace(place, segment=("vmbr0", vlan)) for place in places]
    return simulate(rules.whole, host, packet(line, world), *places)


def _place(zone: str) -> Place:
    if zone == "host":
        return Place("host")
    one = STATIONS[zone]
    return Place(zone, one.port if zone.startswith("vm/") else "", (one.bridge, 0), one.bridge, zone == "outside")


def packet(line: Line, world: World) -> Packet:
    """Return what the line sends."""
    source = line.options.get("source") or _address(world, line.source, line.dest, line.version)
    dest = line.options.get("dest") or _address(world, line.dest, line.source, line.version)
    has_ports = line.proto[:3] in ("tcp", "udp") or line.number in (33, 132, 136)
    kind, is_ip = _ethertype(line), line.number != 0
    return Packet(
        kind,
        line.number if is_ip else None,
        _span(int(ip_address(source))) if is_ip else None,
        _span(int(ip_address(dest))) if is_ip else None,
        _span(int(line.options.get("sport", 40000))) if has_ports else None,
        _span(line.port) if has_ports else None,
        _icmp(line),
        "untracked" if line.proto in _ND else _STATES[line.state],
        mac=line.options.get("mac", ""),
        arp_mac=line.options.get("arp-mac", ""),
        arp_source=int(ip_address(line.options.get("arp-ip", source))) if kind == ARP else None,
        nd_target=int(ip_address(line.options.get("target", source))) if line.proto == "na" else None,
        client_mac=line.options.get("chaddr", ""),
        relayed="giaddr" in line.options,
        link_mac=line.options.get("link", ""),
        tcp_flags=0x03 if line.state == "invalid" else None,
        to_all=is_ip and (ip_address(dest).is_multicast or dest == "255.255.255.255"),
    )


def _address(world: World, zone: str, other: str, version: int) -> str:
    if zone == "host" and other in STATIONS:
        return world.host_address(other, version)
    return world.address(zone, version)


def _span(number: int) -> Span:
    return Span(number, number)


def _ethertype(line: Line) -> int:
    tags = [tag for tag in line.options.get("tag", "").split(",") if tag]
    if len(tags) > 1:
        return QINQ if tags[1].startswith("ad") else VLAN
    if line.proto.startswith("0x"):
        return int(line.proto, 16)
    return _KINDS.get(line.proto, IP6 if line.version == 6 else IP)


def _icmp(line: Line) -> IcmpType | None:
    if line.proto in _ND:
        return IcmpType(_ND[line.proto], 0)
    return IcmpType(line.port, int(line.options.get("code", 0))) if line.proto.startswith("icmp") else None
