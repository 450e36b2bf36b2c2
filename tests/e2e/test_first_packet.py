"""Fail-closed from the first frame: a guest that sends from its first microsecond never passes its chains by."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest

from tests.e2e.frames import tcp_syn
from tests.patience import until
from tests.sandbox.client import hook
from tests.sandbox.world import GUEST, GUEST_MAC, PROVIDER, TAP, World

FORBIDDEN = 9999
"""A port of the provider that the guest's rules close (examples/nat-host)."""

WITNESS = f"""\
table bridge witness {{
	chain entered {{
		type filter hook prerouting priority -400; policy accept;
		iifname "{TAP}" counter comment "entered"
	}}
	chain passed {{
		type filter hook prerouting priority 400; policy accept;
		iifname "{TAP}" counter comment "passed"
	}}
}}
table inet witness {{
	chain without-bridge {{
		type filter hook prerouting priority -400; policy accept;
		iifname "{TAP}" counter comment "passed beside the bridge"
	}}
}}
"""
"""Counts what comes from the tap before any of pvenetd's chains and behind all of them."""


@pytest.mark.reliability("a guest that sends from the first moment on", guarantee="its first frame meets its rules")
@pytest.mark.netns
def test_the_first_frame_from_a_tap_meets_its_chains(world: World) -> None:
    world.write("witness.nft", WITNESS)
    world.host.run("nft", "-f", world.root / "witness.nft")
    outside = world.capture(world.host, "eth0", "tcp")
    assert world.daemon
    world.daemon.signal(signal.SIGSTOP)  # it would see the tap, and plug it before the guest has begun
    guest = world.start_tap()
    guest.send(f"flood {tcp_syn(GUEST_MAC, bridge_mac(world), GUEST, PROVIDER, FORBIDDEN).hex()}")
    guest.expect("^flooding$")
    world.daemon.signal(signal.SIGCONT)
    hook(world.root, "up", TAP)
    guest.expect("^1000 taken$")
    guest.send("stop")
    taken, refused = map(int, guest.expect(r"^taken (\d+), refused (\d+)$").groups())

    entered, passed, beside, dropped = at_rest(world)
    assert refused > 0, "it did send before its port was up"
    assert 0 < dropped <= taken, "fewer than were taken where the kernel's backlog was full: no hook ever saw those"
    assert dropped == entered, "every frame that came in was dropped by the guest's own rule"
    assert (passed, beside) == (0, 0)

    guest.send(f"send {tcp_syn(GUEST_MAC, bridge_mac(world), GUEST, PROVIDER, 80).hex()}")
    outside.expect(rf"> {PROVIDER}\.80: Flags \[S\]")
    assert not outside.seen(rf"\.{FORBIDDEN}\b"), "nothing of it left the host"


@pytest.mark.reliability(
    "a guest whose rules are broken and never were right",
    guarantee="it is not plugged, and that is said",
)
@pytest.mark.netns
def test_a_tap_whose_guest_has_a_broken_file_and_no_good_rules_stays_down(world: World) -> None:
    (world.root / "etc/pvenetd/firewall/100.fw").unlink()
    world.ctl("firewall", "apply")
    world.write("etc/pvenetd/firewall/100.fw", "[OPTIONS]\nenable: 1\n[RULES]\nIN ACCEPT -p tcp -dport 99999\n")
    world.start_tap()
    with pytest.raises(AssertionError, match=r"100\.fw:4"):
        hook(world.root, "up", TAP)
    (link,) = world.host.show("ip", "-j", "link", "show", TAP)
    assert "UP" not in link["flags"]
    assert "master" not in link


def bridge_mac(world: World) -> str:
    mac: str = world.host.show("ip", "-j", "link", "show", "vmbr1")[0]["address"]
    return mac


def rules(world: World) -> list[dict[str, Any]]:
    listed = json.loads(world.host.run("nft", "-j", "list", "ruleset"))["nftables"]
    return [entry["rule"] for entry in listed if "rule" in entry]


def packets(rule: dict[str, Any]) -> int:
    found: int = next(part["counter"]["packets"] for part in rule["expr"] if "counter" in part)
    return found


def at_rest(world: World) -> list[int]:
    """Return what the witnesses and the guest's own rule have counted, once no frame is on its way any more."""
    last: list[int] = []

    def rest() -> bool:
        nonlocal last
        before, last = last, counted(world)
        return last == before

    until(rest, "no frame is on its way")
    return last


def counted(world: World) -> list[int]:
    """Return, of one listing: entered, passed, passed beside the bridge, dropped by the guest's rule."""
    listed = rules(world)
    seen = {rule.get("comment"): packets(rule) for rule in listed if rule["table"] == "witness"}
    (rule,) = (rule for rule in listed if rule["chain"] == "vm-100-out" and str(FORBIDDEN) in json.dumps(rule))
    return [seen["entered"], seen["passed"], seen["passed beside the bridge"], packets(rule)]
