"""One guest's file and NICs → its chains: two, for all its NICs, which every packet from and to it meets.

What a guest sends is first held against who it is; what belongs to a connection passes after that, and
only then its own rules are asked.

Source: Proxmox VE's administration guide, chapter "Firewall", "VM/Container configuration".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface

from pvenetd.errors import ConfigError, Problem
from pvenetd.firewall.guest_chains import Filtered, into, out, protocols, queued_groups
from pvenetd.firewall.resolve import Names
from pvenetd.firewall.ruleset import Addresses, Chain, Piece, Port, Rule
from pvenetd.firewall.syntax import Config

BROKEN = "broken line"
"""Origin of what stops a NIC whose line cannot be read."""


@dataclass(frozen=True, slots=True)
class Nic:
    """What the firewall has to know of a guest's NIC."""

    port: str
    """Its port on the bridge: ``tap100i0``."""
    firewall: bool
    mac: str
    """The guest's MAC address, ``02:00:00:00:00:01``; nothing where it has none yet."""
    addresses: tuple[IPv4Interface | IPv6Interface, ...] = ()
    """Those a container's configuration gives it."""
    is_broken: bool = False
    """Whether its line cannot be read, and nobody knows what it said before: nothing passes it."""


@dataclass(frozen=True, slots=True)
class Guest:
    """A guest's file, and its NICs by index (net0 is 0)."""

    vmid: int
    config: Config
    nics: Mapping[int, Nic]


def compile_guest(guest: Guest, cluster: Config, local: Addresses | None = None) -> Piece | None:
    """Return the chains of one guest and where its ports lead to, None when it has no port (cluster.fw's switch apart).

    What is not to be filtered is named too: the guard stops who is not.  *local* is the network of the host.
    Raises ConfigError for what is wrong in the guest's own file, and for that alone.
    """
    config, names = guest.config.require(), Names(cluster, guest.config, local=local)
    enabled = config.flag("enable", default=False)
    led = {f"net{index}": nic for index, nic in sorted(guest.nics.items()) if nic.firewall and enabled}
    if not led:
        return _piece(guest, (), ())
    nics = {name: nic for name, nic in led.items() if not nic.is_broken}
    shut = [nic.port for nic in led.values() if nic.is_broken]
    found = Filtered(guest.vmid, config, nics, names, cluster)
    _require(found)
    received = tuple(into(found))
    sent = tuple(out(found, received))
    names_of = _chains(guest.vmid)
    return _piece(
        guest,
        led.values(),
        (
            *protocols(found),  # The kernel wants a chain before those that jump to it.
            *queued_groups(found),
            Chain("bridge", names_of[0], (*(Rule("drop", oif=port, origin=BROKEN) for port in shut), *received)),
            Chain("bridge", names_of[1], (*(Rule("drop", iif=port, origin=BROKEN) for port in shut), *sent)),
        ),
    )


def _require(found: Filtered) -> None:
    """Raise for names that mean nothing, and where a filter has nothing to compare with: the NIC would be open."""
    config = found.config
    problems = [problem for problem in found.names.problems(config) if problem.severity == "error"]
    problems += [
        Problem(
            config.path, 1, "address", f"{name} has no MAC address to filter by", hint="give it one, or macfilter: 0"
        )
        for name, nic in found.nics.items()
        if not nic.mac and (found.flag("macfilter", default=True) or found.is_ip_filtered(name))
    ]
    if problems:
        raise ConfigError((*config.problems, *problems))


def _chains(vmid: int) -> tuple[str, str]:
    return f"vm-{vmid}-in", f"vm-{vmid}-out"


def _piece(guest: Guest, filtered: Iterable[Nic], chains: tuple[Chain, ...]) -> Piece | None:
    """Return the piece of a guest, None where it has no port."""
    led = [Port(nic.port, *_chains(guest.vmid), nic.mac) for nic in filtered]
    names = {port.name for port in led}
    ports = (*led, *(Port(nic.port) for nic in guest.nics.values() if nic.port not in names))
    return Piece(f"vm:{guest.vmid}", chains if led else (), ports) if ports else None
