"""A guest's rate on the real kernel: tc(8) shows it, frames keep it, and what is somebody else's stays his."""

from __future__ import annotations

import struct

import pytest

from pvenetd.drivers.host import Host
from pvenetd.errors import KernelError
from pvenetd.kinds.bridge import Bridge
from pvenetd.kinds.ethernet import Ethernet
from pvenetd.kinds.link import Link
from pvenetd.kinds.tap import Tap
from pvenetd.kinds.veth import Veth
from pvenetd.plan import plan
from pvenetd.resource import Resource
from pvenetd.shaping import MEGABYTE, Rate
from pvenetd.state import state
from tests.kernel.ends import bytes_a_second, flooding, forwarding, frame, news, outside, tap
from tests.kernel.seen import limits
from tests.netns import Namespaces, run, show
from tests.patience import until

pytestmark = pytest.mark.lab
MINE = {"owner": "vm:100", "origin": "100.conf:1"}
TAP = Tap(name="tap100i0", master="vmbr0", **MINE)
BRIDGE = Bridge(name="vmbr0", forward_delay=0, owner="interfaces")
PORTS = [TAP, Veth(name="veth100i0", master="vmbr0", made_here=False, mtu=None, **MINE)]
BURST = 1 << 20
LINK, TC = 1, 4
"""RTNLGRP_LINK, RTNLGRP_TC."""
NEWQDISC, NEWACTION = 36, 48
POLICE = ("rate", "8mbit", "burst", "1mb")


def bring(host: Host, *wanted: Resource) -> list[str]:
    """Bring a guest to *wanted*, twice: the second time there is nothing to do."""
    desired = state(wanted)
    keys = {*desired, *host.owned("vm:100")}
    ops = plan(desired, host.observe(keys, only=True), {"vm:100", "interfaces"})
    for op in ops:
        host.apply(op)
    left = plan(desired, host.observe({*keys, *host.owned("vm:100")}, only=True), {"vm:100", "interfaces"})
    assert left == ()
    return [str(op) for op in ops]


def rate(dev: str, to_guest: int, from_guest: int) -> Rate:
    return Rate(dev=dev, to_guest=to_guest, from_guest=from_guest, **MINE)


def qdiscs(dev: str) -> list[tuple[str, str]]:
    return [(one["kind"], one["handle"]) for one in show("tc", "-j", "qdisc", "show", "dev", dev)]


@pytest.mark.parametrize("port", PORTS, ids=lambda link: link.kind)
def test_tc_shows_both_ways_and_nothing_once_it_is_gone(host: Host, namespaces: Namespaces, port: Link) -> None:
    if isinstance(port, Veth):
        namespaces.cable(port.name)
    bring(host, BRIDGE, port)
    first = qdiscs(port.name)
    bring(host, BRIDGE, port, rate(port.name, 12_500_000, 1_000_000))
    (root, clsact) = show("tc", "-j", "qdisc", "show", "dev", port.name)
    assert (root["kind"], root["handle"], root["options"]["rate"]) == ("tbf", "7e:", 12_500_000)
    assert abs(root["options"]["burst"] - BURST) < BURST / 1000
    assert clsact["kind"] == "clsact"
    assert [line for line in limits(port.name) if "police rate 8Mbit burst 1Mb" in line]
    bring(host, BRIDGE, port, rate(port.name, 5 << 30, 5 << 30))
    assert show("tc", "-j", "qdisc", "show", "dev", port.name)[0]["options"]["rate"] == 5 << 30, "beyond 32 bits"
    assert [line for line in limits(port.name) if "police rate 42949Mbit" in line]
    bring(host, BRIDGE, port)
    assert qdiscs(port.name) == first
    assert run("tc", "filter", "show", "dev", port.name, "ingress") == ""
    assert run("tc", "actions", "list", "action", "police").count("police") == 0


def test_another_rate_is_set_in_place(host: Host) -> None:
    bring(host, BRIDGE, TAP, rate("tap100i0", MEGABYTE, MEGABYTE))
    with news(TC) as told, news(LINK) as links:
        ops = bring(host, BRIDGE, TAP, rate("tap100i0", 2 * MEGABYTE, 3 * MEGABYTE))
    assert ops == ["~ rate tap100i0 to_guest=2097152 from_guest=3145728"]
    assert links == [], "the port is not touched"
    kinds = [struct.unpack_from("=H", message, 4)[0] for message in told]
    assert {*kinds} == {NEWQDISC, NEWACTION}, "nothing is deleted"
    assert "police rate 25165Kbit" in str(limits("tap100i0"))


def test_a_rate_that_is_not_asked_for_any_more_goes_by_itself(host: Host) -> None:
    bring(host, BRIDGE, TAP, rate("tap100i0", MEGABYTE, MEGABYTE))
    bring(host, BRIDGE, TAP, rate("tap100i0", MEGABYTE, 0))
    assert [kind for kind, _ in qdiscs("tap100i0")] == ["tbf"]
    bring(host, BRIDGE, TAP, rate("tap100i0", 0, MEGABYTE))
    assert [kind for kind, _ in qdiscs("tap100i0")][1:] == ["clsact"]


def test_a_port_without_a_rate_is_looked_at_in_silence(host: Host) -> None:
    bring(host, BRIDGE, TAP)
    with news(TC) as told:
        bring(host, BRIDGE, TAP)
    assert told == []


def test_a_root_of_somebody_elses_that_limits_nothing_is_in_the_way(host: Host) -> None:
    bring(host, BRIDGE, TAP)
    run("tc", "qdisc", "add", "dev", "tap100i0", "root", "handle", "1:", "fq_codel")
    with pytest.raises(KernelError, match=r"its root qdisc is somebody else.s \(fq_codel 1:\)"):
        bring(host, BRIDGE, TAP, rate("tap100i0", MEGABYTE, MEGABYTE))


def test_a_noqueue_which_libvirt_gives_a_tap_is_replaced_and_given_back(host: Host) -> None:
    bring(host, BRIDGE, TAP)
    run("tc", "qdisc", "replace", "dev", "tap100i0", "root", "noqueue")
    bring(host, BRIDGE, TAP, rate("tap100i0", MEGABYTE, MEGABYTE))
    assert qdiscs("tap100i0")[0] == ("tbf", "7f:")
    bring(host, BRIDGE, TAP, rate("tap100i0", 2 * MEGABYTE, MEGABYTE))
    assert qdiscs("tap100i0")[0] == ("tbf", "7f:")
    run("tc", "qdisc", "replace", "dev", "tap100i0", "root", "noqueue")
    assert bring(host, BRIDGE, TAP, rate("tap100i0", 2 * MEGABYTE, MEGABYTE)) != [], "it is missed"
    bring(host, BRIDGE, TAP)
    assert [kind for kind, _ in qdiscs("tap100i0")] == ["noqueue"]


def test_what_somebody_else_limits_is_his(host: Host) -> None:
    bring(host, BRIDGE, TAP)
    run("tc", "qdisc", "add", "dev", "tap100i0", "root", "handle", "1:", "htb", "default", "1")
    run("tc", "qdisc", "add", "dev", "tap100i0", "ingress")
    run("tc", "filter", "add", "dev", "tap100i0", "parent", "ffff:", "matchall", "action", "police", *POLICE)
    theirs = run("tc", "qdisc", "show", "dev", "tap100i0")
    bring(host, BRIDGE, TAP, rate("tap100i0", MEGABYTE, MEGABYTE))
    bring(host, BRIDGE, TAP)
    assert run("tc", "qdisc", "show", "dev", "tap100i0") == theirs


def test_a_filter_of_somebody_elses_keeps_the_clsact(host: Host) -> None:
    bring(host, BRIDGE, TAP, rate("tap100i0", 0, MEGABYTE))
    run("tc", "filter", "add", "dev", "tap100i0", "egress", "matchall", "action", "pass")
    bring(host, BRIDGE, TAP)
    assert ("clsact", "ffff:") in qdiscs("tap100i0")
    assert limits("tap100i0") == ["qdisc clsact ffff: parent ffff:fff1"]
    assert "matchall" in run("tc", "filter", "show", "dev", "tap100i0", "egress")


def measured(host: Host, dev: str) -> float:
    """Return the bytes a second that leave a link, after the burst; again where the machine stood still meanwhile."""
    return bytes_a_second(lambda: host.counters([dev])[dev]["tx_bytes"], BURST + BURST // 2, seconds=4)


@pytest.mark.parametrize("way", ["to", "from"])
def test_no_more_than_the_rate_passes(host: Host, namespaces: Namespaces, way: str) -> None:
    limit = MEGABYTE
    eno1 = Ethernet(name="eno1", master="vmbr0", owner="interfaces")
    bring(host, BRIDGE, eno1, TAP, rate("tap100i0", limit if way == "to" else 0, limit if way == "from" else 0))
    dev = "tap100i0" if way == "to" else "eno1"
    with tap("tap100i0") as inner, outside(namespaces, "eno1") as outer:
        forwarding()
        ends = (outer, inner) if way == "to" else (inner, outer)
        with flooding(*ends, frame("02:00:5e:00:53:01", "02:00:5e:00:53:02", bytes(1400))):
            until(lambda: 0.85 * limit < measured(host, dev) < 1.15 * limit, "it passes at its rate")
