"""A case of tests/packets: the files of a host, and packets with their verdicts, one a line.

::

    FROM TO PROTO PORT VERDICT [KEY=VALUE …]

FROM and TO are zones of `World`.  PROTO is tcp, udp, icmp (tcp6, udp6, icmp6 over IPv6; PORT is ICMP's type then), a
number for another protocol of IPv4 (``p47``; ``p47-6`` over IPv6), arp, arp-reply, rarp, ns, na, rs, ra, mld, or an
ethertype (0x88b5); PORT is ``-`` where there is none.  VERDICT is ACCEPT, DROP or REJECT.

=========== ==========================================================================================================
``sport``   source port, or the identifier of ICMP; another for each line without it
``source``  source address, where it is not the sender's own; likewise ``dest``
``mac``     the frame's source, forged; ``arp-mac``, ``arp-ip``: what an ARP packet says; ``target``: what ND asks for
``link``    the link-layer address that ND's first option names; ``chaddr``: the client of a DHCP request, ``giaddr``
            with the address of the relay it has come by
``tag``     VLAN tags, the outer first: ``10``, ``ad20,10`` (802.1ad)
``state``   established: an answer to what the other side has sent before; related: an ICMP error about that;
            invalid: an ICMP error about nothing, or TCP flags that never stand together
``code``    of ICMP
``size``    bytes of payload; with more than a frame takes it goes in fragments
``reaches`` the zone it ends at, where NAT makes it another than TO
``seen``    source address it has there; ``port``: its destination port there
``log``     what it leaves in the log, without the rule's FILE:LINE: ``100:6:in:DROP,101:…``; ``-`` for nothing
=========== ==========================================================================================================
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.kernel.world import PROTOCOLS

FRAMES = frozenset({"arp", "arp-reply", "rarp", "ns", "na", "rs", "ra", "mld"})
_KEYS = frozenset(
    ("sport", "source", "dest", "mac", "arp-mac", "arp-ip", "target", "tag", "state", "code", "size", "reaches", "seen")
) | {"port", "log", "link", "chaddr", "giaddr"}


@dataclass(frozen=True)
class Line:
    """One packet, and what is to become of it."""

    source: str
    dest: str
    proto: str
    port: int
    verdict: str = ""
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def version(self) -> int:
        return 6 if self.proto.endswith("6") or self.proto in ("ns", "na", "rs", "ra", "mld") else 4

    @property
    def number(self) -> int:
        """Return its protocol of IP, 0 for what is no IP packet, 58 for ND and MLD."""
        if self.proto in ("ns", "na", "rs", "ra", "mld"):
            return PROTOCOLS["icmp6"]
        other = re.fullmatch(r"p(\d+)(?:-6)?", self.proto)
        return int(other[1]) if other else PROTOCOLS.get(self.proto, 0)

    @property
    def is_frame(self) -> bool:
        """Return whether it is sent as a frame: no socket would send it."""
        odd = self.options.keys() & {"mac", "tag", "source", "dest"} and self.source != "host"
        return bool(odd) or self.number == 0 or self.proto in FRAMES or self.state in ("related", "invalid")

    @property
    def is_answered(self) -> bool:
        """Return whether the other side answers, if it gets it."""
        talks = self.proto[:3] in ("tcp", "udp") or (self.proto, self.port) in (("icmp", 8), ("icmp6", 128))
        return talks and not self.is_frame and self.state == "new"

    def __str__(self) -> str:
        words = [self.source, self.dest, self.proto, str(self.port), self.verdict]
        return " ".join([*words, *(f"{key}={value}" for key, value in self.options.items())])

    @property
    def state(self) -> str:
        return self.options.get("state", "new")

    @property
    def follows(self) -> bool:
        """Return whether something has to be sent before, that it belongs to."""
        return self.state in ("established", "related")

    @property
    def logs(self) -> tuple[str, ...]:
        """Return the log lines it leaves, as `packets.spelled` has them."""
        return tuple(one for one in self.options.get("log", "-").split(",") if one != "-")

    @property
    def end(self) -> str:
        """Return the zone where it arrives."""
        return self.options.get("reaches", self.dest)


def parse(text: str) -> list[Line]:
    """Return the packets of a case."""
    return [_line(line) for line in text.splitlines() if line.strip() and not line.startswith("#")]


def _line(text: str) -> Line:
    words = text.split()
    source, dest, proto, port, verdict = words[:5]
    options = dict(word.split("=", 1) for word in words[5:])
    assert not options.keys() - _KEYS, text
    assert verdict in ("ACCEPT", "DROP", "REJECT"), text
    return Line(source, dest, proto, 0 if port == "-" else int(port), verdict, options)
