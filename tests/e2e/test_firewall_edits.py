"""Edits of the firewall by the API: when the answer is there, packets are treated so."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from tests.e2e.test_edits import request
from tests.patience import until
from tests.sandbox.space import Space
from tests.sandbox.world import GUEST, PROVIDER, World

pytestmark = pytest.mark.netns

CLUSTER = "/api2/json/cluster/firewall"
VM = "/api2/json/nodes/localhost/qemu/100/firewall"
CONNECT = f"""
import socket
try:
    socket.create_connection(("{PROVIDER}", 80), 60).close()
    print("open")
except ConnectionRefusedError:
    print("refused")
"""


def did(world: World, method: str, path: str, **values: object) -> None:
    status, body = request(world, method, path, **{key.replace("__", "-"): one for key, one in values.items()})
    assert (status, body) == (200, {"data": None})


def port(guest: Space) -> str:
    """Return what becomes of a connection that begins now."""
    return guest.run(sys.executable, "-c", CONNECT).strip()


def test_rules_groups_sets_and_aliases_count_when_they_are_answered(world: World) -> None:
    guest, _pump = world.start_namespace_guest(f"{GUEST}/24", "10.10.10.1")
    text = world.read("etc/pvenetd/firewall/100.fw")
    assert port(guest) == "open"
    refusal: dict[str, Any] = {"type": "out", "action": "REJECT", "proto": "tcp", "dport": 80}
    did(world, "POST", f"{VM}/rules", **refusal)
    assert port(guest) == "open", "a new rule is off"
    did(world, "PUT", f"{VM}/rules/0", enable=1)
    assert port(guest) == "refused"
    did(world, "POST", f"{VM}/rules", type="out", action="ACCEPT", enable=1)
    assert port(guest) == "open"
    did(world, "PUT", f"{VM}/rules/1", moveto=0)
    assert port(guest) == "refused"
    did(world, "DELETE", f"{VM}/rules/0")
    assert port(guest) == "open"
    did(world, "DELETE", f"{VM}/rules/0")
    assert world.read("etc/pvenetd/firewall/100.fw") == text

    did(world, "POST", f"{CLUSTER}/groups", group="web")
    did(world, "POST", f"{VM}/rules", type="group", action="web", enable=1)
    did(world, "POST", f"{CLUSTER}/ipset", name="providers")
    did(world, "POST", f"{CLUSTER}/groups/web", **refusal, dest="+providers", enable=1)
    assert port(guest) == "open", "the set is empty"
    did(world, "POST", f"{CLUSTER}/aliases", name="provider", cidr=PROVIDER)
    did(world, "POST", f"{CLUSTER}/ipset/providers", cidr="provider")
    assert port(guest) == "refused"
    did(world, "POST", f"{CLUSTER}/groups", group="www", rename="web")
    did(world, "POST", f"{CLUSTER}/ipset", name="them", rename="providers")
    did(world, "PUT", f"{CLUSTER}/aliases/provider", rename="it")
    assert "GROUP www" in world.read("etc/pvenetd/firewall/100.fw")
    assert port(guest) == "refused"
    did(world, "PUT", f"{CLUSTER}/aliases/it", cidr="192.0.2.200")
    assert port(guest) == "open"
    did(world, "DELETE", f"{VM}/rules/0")
    did(world, "DELETE", f"{CLUSTER}/groups/www/0")
    did(world, "DELETE", f"{CLUSTER}/groups/www")
    did(world, "DELETE", f"{CLUSTER}/ipset/them", force=1)
    did(world, "DELETE", f"{CLUSTER}/aliases/it")
    assert world.ctl("firewall", "diff").strip() == "what the files say is loaded"


ASK = f"""
import socket
asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asking.settimeout(0.2)
asking.connect(("{GUEST}", 8080))
asking.send(b"?")
try:
    asking.recv(1)
except TimeoutError:
    print("silence")
except ConnectionRefusedError:
    print("refused")
"""


def test_what_the_host_sends_is_refused_with_an_answer_while_a_guest_refuses(world: World) -> None:
    _guest, _pump = world.start_namespace_guest(f"{GUEST}/24", "10.10.10.1")

    def told() -> str:
        return world.host.run(sys.executable, "-c", ASK).strip()

    def asked() -> bool:
        return "hook egress" in world.host.run("nft", "list", "ruleset")

    did(world, "POST", f"{VM}/rules", type="in", action="DROP", proto="udp", dport=8080, enable=1)
    assert (told(), asked()) == ("silence", False)
    did(world, "PUT", f"{VM}/rules/0", action="REJECT")
    until(lambda: told() == "refused", "refused")
    did(world, "PUT", f"{VM}/rules/0", action="DROP")
    until(lambda: (told(), asked()) == ("silence", False), "silence, and no chain that asks")


def test_a_bridge_that_is_made_anew_is_asked_at_again(world: World) -> None:
    world.start_namespace_guest(f"{GUEST}/24", "10.10.10.1")
    did(world, "POST", f"{VM}/rules", type="in", action="REJECT", proto="udp", dport=8080, enable=1)

    def asked() -> bool:
        return 'hook egress device "vmbr0v5"' in world.host.run("nft", "list", "ruleset")

    world.host.run("ip", "link", "add", "vmbr0v5", "type", "bridge")
    until(asked, "asked")
    for _ in range(3):
        world.host.run("sh", "-c", "ip link del vmbr0v5 && ip link add vmbr0v5 type bridge")
        until(asked, "asked again")
    world.host.run("ip", "link", "del", "vmbr0v5")
    until(lambda: "vmbr0v5" not in world.host.run("nft", "list", "ruleset"), "gone")


def test_an_edit_without_a_daemon_counts_when_it_starts(world: World) -> None:
    guest, _pump = world.start_namespace_guest(f"{GUEST}/24", "10.10.10.1")
    assert world.daemon
    world.daemon.stop()
    world.ctl("firewall", "options", "vm/100", "enable=1", "policy_out=ACCEPT")
    world.ctl("firewall", "rule", "add", "vm/100", "type=out", "action=REJECT", "proto=tcp", "dport=80")
    world.start_daemon()
    assert port(guest) == "refused"
    world.ctl("firewall", "rule", "set", "vm/100", "0", "enable=0")
    assert port(guest) == "open"
