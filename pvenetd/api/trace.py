"""Real packets, followed through the rules."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pvenetd.api.errors import BadParametersError
from pvenetd.api.route import OfNode, Routes
from pvenetd.daemon.daemon import Daemon
from pvenetd.daemon.trace import TracedPacket
from pvenetd.firewall.ruleset import ICMP, ICMP6, WITH_PORTS, Addresses, Rule, Span
from pvenetd.firewall.values import addresses, protocol

routes = Routes()

Port = Annotated[int, Field(ge=0, le=65535)]


class Flow(OfNode):
    """Which packets, and how many of them."""

    iface: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:@-]{0,14}$")] | None = None
    """The link they come in by: a guest's tap, an uplink."""
    proto: str | None = None
    source: str | None = None
    """An address, a network or a range."""
    dest: str | None = None
    sport: Port | None = None
    dport: Port | None = None
    packets: Annotated[int, Field(ge=1, le=100)] = 5
    seconds: Annotated[float, Field(gt=0, le=60)] = 10

    def rule(self) -> Rule:
        """Return what the packets match.  Raises `BadParametersError`."""
        wrong: dict[str, str] = {}
        number = self._number(wrong)
        source, dest = (self._side(name, wrong) for name in ("source", "dest"))
        if (self.sport, self.dport) != (None, None) and number not in WITH_PORTS:
            wrong["dport" if self.sport is None else "sport"] = "needs proto tcp, udp, udplite, sctp or dccp"
        versions = {side.version for side in (source, dest) if side} | {{ICMP: 4, ICMP6: 6}.get(number or 0, 0)} - {0}
        if len(versions) > 1:
            wrong["dest"] = "IPv4 and IPv6 are mixed"
        if wrong:
            raise BadParametersError(wrong)
        return Rule(
            "accept",
            iif=self.iface or "",
            protocol=number,
            source=source,
            dest=dest,
            sport=_ports(self.sport),
            dport=_ports(self.dport),
        )

    def _number(self, wrong: dict[str, str]) -> int | None:
        try:
            return protocol(self.proto) if self.proto else None
        except ValueError as error:
            wrong["proto"] = str(error)
            return None

    def _side(self, name: str, wrong: dict[str, str]) -> Addresses | None:
        text = getattr(self, name)
        try:
            return addresses(text) if text else None
        except ValueError as error:
            wrong[name] = str(error)
            return None


def _ports(number: int | None) -> tuple[Span, ...]:
    return () if number is None else (Span(number, number),)


@routes.post("/nodes/{node}/pvenetd/firewall/trace")
async def trace(daemon: Daemon, params: Flow) -> list[TracedPacket]:
    """Follow the first packets of a flow, and of its answers, through everybody's rules; return all they have met.

    With ``Accept: text/event-stream`` it is told as it happens, as Server-Sent Events: ``packet`` when one is first
    seen, ``step`` for each rule that it meets, and ``end`` with the verdict on each.
    """
    return await daemon.trace.run(params.rule(), params.packets, params.seconds)
