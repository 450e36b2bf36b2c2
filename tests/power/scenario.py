"""What is applied when the power goes: a host before and after, in two files, and the moments at which it goes."""

from __future__ import annotations

from pvenetd.compile import compile_interfaces
from pvenetd.drivers.fake import Fake
from pvenetd.interfaces.config import single
from pvenetd.interfaces.syntax import parse
from pvenetd.kinds.ethernet import Ethernet
from pvenetd.plan import plan, steps
from pvenetd.state import INTERFACES, State

NICS = ("eno1", "eno2", "eno3")
MAIN, SOURCED = "etc/network/interfaces", "etc/network/interfaces.d/guests"

OLD = {
    MAIN: """\
auto lo
iface lo inet loopback

iface eno1 inet manual

iface eno2 inet manual

auto bond0
iface bond0 inet manual
	bond-slaves eno1 eno2
	bond-mode active-backup

auto vmbr0
iface vmbr0 inet static
	address 192.0.2.2/24
	gateway 192.0.2.1
	bridge-ports bond0
	bridge-stp off
	bridge-fd 0
	bridge-vlan-aware yes
	bridge-vids 2-100

auto vmbr0.20
iface vmbr0.20 inet static
	address 198.51.100.2/24

iface vmbr0.20 inet6 static
	address 2001:db8:20::2/64

source interfaces.d/*
""",
    SOURCED: """\
auto vmbr1
iface vmbr1 inet static
	address 10.10.10.1/24
	bridge-ports none
	bridge-stp off
	bridge-fd 0
	post-up iptables -t nat -A POSTROUTING -s '10.10.10.0/24' -o vmbr0 -j MASQUERADE
""",
}
NEW = {
    MAIN: """\
auto lo
iface lo inet loopback

iface eno1 inet manual

iface eno2 inet manual

iface eno3 inet manual
	mtu 1400

auto bond0
iface bond0 inet manual
	bond-slaves eno1 eno2
	bond-mode balance-xor
	bond-miimon 50

auto vmbr0
iface vmbr0 inet static
	address 192.0.2.3/24
	address 192.0.2.4/24
	gateway 192.0.2.254
	bridge-ports bond0
	bridge-stp off
	bridge-fd 0
	bridge-ageing 120
	bridge-vlan-aware yes
	bridge-vids 2-50

iface vmbr0 inet6 static
	address 2001:db8::3/64
	gateway 2001:db8::1

auto vmbr0.30
iface vmbr0.30 inet static
	address 198.51.100.3/24

source interfaces.d/*
""",
    SOURCED: """\
auto vmbr1
iface vmbr1 inet static
	address 10.10.20.1/24
	bridge-ports eno3
	bridge-stp off
	bridge-fd 0
	post-up iptables -t nat -A POSTROUTING -s '10.10.20.0/24' -o vmbr0 -j MASQUERADE

auto vmbr2
iface vmbr2 inet static
	address 203.0.113.1/28
	bridge-ports none
	bridge-stp off
	bridge-fd 0
""",
}

FILES = ("the record", *(f"{name}{new}" for name in (MAIN, SOURCED) for new in ("", ".new")))
"""What is written before the first operation, in order."""


def desired(texts: dict[str, str]) -> State:
    """Return what the two files ask for."""
    text = texts[MAIN].replace("source interfaces.d/*\n", texts[SOURCED])
    return compile_interfaces(single(parse(text, f"/{MAIN}")), ["lo", *NICS], "mark").checked()


def operations() -> list[str]:
    """Return the steps of the plan between the two hosts, as they are printed, without digests.

    A step is an operation, or some deletions of links that are one request.
    """
    old, new = desired(OLD), desired(NEW)
    host = Fake(
        [Ethernet.model_construct(name=name, kind="ethernet", up=False) for name in NICS],
        [key[1] for key in old if key[0] == "sysctl"],
    )
    for op in plan(old, host.observe(old.keys())):
        host.apply(op)
    ops = plan(new, host.observe(new.keys()), {INTERFACES})
    return [", ".join(str(op).partition(" digest=")[0] for op in step) for step in steps(ops)]


def moments() -> list[str]:
    """Return when the power goes, by name, in order."""
    return [
        *(f"before {name} is written" for name in FILES),
        *(f"before {op}" for op in operations()),
        "before it is committed",
        "after it is committed",
    ]
