"""What would become of a packet."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from pvenetd.api.errors import BadParametersError
from pvenetd.api.route import OfNode, Routes
from pvenetd.daemon.daemon import Daemon
from pvenetd.daemon.places import ZONE
from pvenetd.daemon.question import Question
from pvenetd.daemon.simulation import Verdict
from pvenetd.firewall.ruleset import ICMP, ICMP6, IcmpType
from pvenetd.firewall.values import icmp_type, protocol
from pvenetd.option import Mac

routes = Routes()


def _zone(text: str) -> str:
    if not ZONE.fullmatch(text):
        raise ValueError("should be outside, host, vm/VMID, vm/VMID/netN or bridge/NAME")
    return text


def _address(text: str) -> str:
    return str(ip_address(text))


def _family(number: int | None) -> int | None:
    if number not in (None, 4, 6):
        raise ValueError("should be 4 or 6")
    return number


def _text(value: object) -> object:
    return str(value) if isinstance(value, int) else value


Zone = Annotated[str, AfterValidator(_zone)]
Address = Annotated[str, AfterValidator(_address)]
Port = Annotated[int, Field(ge=0, le=65535)]
Text = Annotated[str, BeforeValidator(_text)]


class Simulate(OfNode):
    """A packet, as far as it is known."""

    start: Annotated[Zone, Field(alias="from")]
    to: Zone
    proto: Text | None = None
    """A name or number of IP; tcp6, udp6, icmp6 say that it is over IPv6."""
    source: Address | None = None
    dest: Address | None = None
    sport: Port | None = None
    dport: Port | None = None
    """Of ICMP its type."""
    icmp_type: Annotated[Text | None, Field(alias="icmp-type")] = None
    mac: Mac | None = None
    """The frame's source address, where it is not the guest's own."""
    family: Annotated[int | None, AfterValidator(_family)] = None
    """IP version, where nothing else tells it; 4 without."""
    state: Literal["new", "established"] = "new"

    def question(self) -> Question:
        """Return what is asked.  Raises `BadParametersError`."""
        number, family = _protocol(self.proto, self.family)
        icmp = _icmp(number, self.icmp_type if self.dport is None else str(self.dport))
        return Question(
            self.start,
            self.to,
            number,
            family,
            self.source,
            self.dest,
            self.sport,
            None if number in (ICMP, ICMP6) else self.dport,
            icmp,
            self.mac or "",
            self.state,
        )


_OVER_IPV6 = {"tcp6": "tcp", "udp6": "udp", "icmp6": "icmpv6"}


def _protocol(text: str | None, family: int | None) -> tuple[int | None, int | None]:
    """Return a protocol's number, and the IP version that its name tells.  Raises `BadParametersError`."""
    if text is None:
        return None, family
    name = text.lower()
    try:
        return protocol(_OVER_IPV6.get(name, name)), 6 if name in _OVER_IPV6 else family
    except ValueError as error:
        raise BadParametersError({"proto": str(error)}) from error


def _icmp(number: int | None, text: str | None) -> IcmpType | None:
    """Return the one ICMP type that is meant, an echo request without any.  Raises `BadParametersError`."""
    if number not in (ICMP, ICMP6):
        return None
    try:
        found = icmp_type(text or "echo-request", number)
    except ValueError as error:
        raise BadParametersError({"icmp-type": str(error)}) from error
    if len(found) != 1:
        raise BadParametersError({"icmp-type": "should be one type"})
    return IcmpType(found[0].type, found[0].code or 0)


@routes.get("/nodes/{node}/pvenetd/firewall/simulate")
async def simulate(daemon: Daemon, params: Simulate) -> Verdict:
    """Tell what would become of a packet, by the files, and which rules it meets on its way."""
    return await daemon.simulation.run(params.question())
