"""Who a guest may say it is: its MAC, its addresses, what it may tell others about them.

All of it is asked before anything is let through, established connections included.

Sources: RFC 826 (ARP), RFC 5227 (its probes come from 0.0.0.0), RFC 4861 and 4862 (neighbour discovery, whose
probes come from ::), RFC 4291, appendix A (the interface identifier made of a MAC), RFC 2131, 4.1 (a client
without an address sends from 0.0.0.0; servers know it by chaddr).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pvenetd.firewall.ruleset import ARP, ICMP6, IP, IP6, UDP, Addresses, Chain, IcmpType, Rule, Span, merge

LINK_LOCAL = Span(0xFE80 << 112, (0xFE80 << 112) | (1 << 118) - 1)
"""fe80::/10."""
_NONE = Span(0, 0)
"""0.0.0.0 and ::, who has no address yet."""
_NAMING = (133, 135, 136)
"""Router and neighbour solicitation, neighbour advertisement: they name their sender's own link-layer address."""
_BROADCAST = Addresses(4, (Span(0xFFFFFFFF, 0xFFFFFFFF),))


def link_local(mac: str) -> Span:
    """Return the link-local address that is made of a MAC."""
    number = int(mac.replace(":", ""), 16) ^ 0x02 << 40
    address = LINK_LOCAL.first | (number >> 24) << 40 | 0xFFFE << 24 | number & 0xFFFFFF
    return Span(address, address)


def mac_filter(port: str, mac: str, *, relays: bool = False) -> Iterator[Rule]:
    """Yield what drops frames from another MAC than the NIC's, and what names another as its own.

    That is ARP, the link-layer address that neighbour discovery begins its options with, and what a DHCP client says
    it is: servers lease by that.  Who *relays* passes on what others say, and says that it does.
    """
    stop = Rule("drop", iif=port, origin="macfilter")
    yield replace(stop, not_mac=mac)
    yield replace(stop, ethertypes=(IP,), protocol=UDP, dport=(Span(67, 67),), not_client_mac=mac, direct=relays)
    yield replace(stop, ethertypes=(ARP,), not_arp_mac=mac)
    for kind in _NAMING:
        yield replace(stop, protocol=ICMP6, icmp=(IcmpType(kind),), not_link_mac=mac)


def ip_filter(port: str, four: tuple[Span, ...], six: tuple[Span, ...], *, learns: bool = False) -> Iterator[Rule]:
    """Yield what drops packets from other addresses than a NIC's, and what it tells neighbours of others'.

    Who has no address yet passes here, and is judged by `unspecified`.  With *learns*, addresses that are leased to
    the NIC are its own, too.
    """
    four = merge((_NONE, *four))
    stop = Rule("drop", iif=port, unless_learnt=learns, origin="ipfilter")
    yield replace(stop, ethertypes=(ARP,), not_arp_source=Addresses(4, four))
    yield replace(stop, ethertypes=(IP,), not_source=Addresses(4, four))
    yield replace(stop, ethertypes=(IP6,), not_source=Addresses(6, merge((_NONE, *six))))
    yield replace(stop, protocol=ICMP6, not_nd_target=Addresses(6, six))


def unspecified() -> Chain:
    """Return what drops all that somebody without an address has no reason to send.

    Left are neighbour discovery and its groups, and a DHCP client's request.
    """
    return Chain(
        "bridge",
        "unspecified",
        (
            Rule("return", protocol=ICMP6, origin="ipfilter"),
            Rule(
                "return",
                protocol=UDP,
                dest=_BROADCAST,
                sport=(Span(68, 68),),
                dport=(Span(67, 67),),
                origin="ipfilter",
            ),
            Rule("drop", source=Addresses(4, (_NONE,)), origin="ipfilter"),
            Rule("drop", source=Addresses(6, (_NONE,)), origin="ipfilter"),
        ),
    )
