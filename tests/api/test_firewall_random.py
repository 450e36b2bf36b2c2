"""Edits of the firewall at random: each is done or refused, and files that were right stay right."""

from __future__ import annotations

import random
from typing import Any

import pytest

from pvenetd.api.route import PREFIX, Caller, Route, answer
from pvenetd.api.routes import ROUTES
from pvenetd.errors import PvenetError
from tests.api.server import Api
from tests.api.test_auth import RULES

EDITS = [route for route in ROUTES if "/firewall/" in route.path and route.writes and "apply" not in route.path]
PLACES = {"bridge": ["vmbr0"], "vnet": ["vmbr0"], "group": ["web", "x%20y"], "name": ["lan", "mail"], "pos": [0, 1, 7],
          "cidr": ["192.0.2.1", "192.0.2.0/24", "lan"]}  # fmt: skip
WORDS: list[Any] = [
    *("", "-", "web", "LAN", "+lan", "dc/lan", "+dc/lan", "+guest/lan", "192.0.2.0/24", "2001:db8::/64", "!192.0.2.1"),
    *("10.0.0.1-10.0.0.9", "tcp", "icmp", "icmpv6", "80:85,443", "99999", "echo-request", "in", "group", "forward"),
    *("ACCEPT", "REJECT", "SSH", "info", "net0", "eth0", "yes", "-1", "a b", "#", "[RULES]", "]", "é", "x" * 70),
    *("0.0.0.0/0", "local_network", "ipfilter-net0", None, 5, True, 3.5, [], {}, ["web"], "a\nb", "\udcff"),
]
SOUND = {"type": "in", "action": "ACCEPT", "name": "new", "group": "new", "cidr": "192.0.2.9", "enable": "1"}


def request(route: Route, chance: random.Random) -> tuple[str, dict[str, Any]]:
    """Return a path and parameters, every second time some that are sound among them."""
    vmid = 200 if "lxc" in route.path else 100
    places = {name: chance.choice(some) for name, some in PLACES.items()}
    path = PREFIX + route.path.format(node="localhost", vmid=vmid, **places)
    keys = [field.alias or name for name, field in route.params.model_fields.items()]
    keys = [key for key in keys if f"{{{key}}}" not in route.path and key != "digest"]
    given = {key: chance.choice(WORDS) for key in chance.sample(keys, chance.randint(0, min(5, len(keys))))}
    sound = {key: value for key, value in SOUND.items() if key in keys and chance.random() < 0.5}
    return path, {**given, **sound}


@pytest.mark.parametrize("seed", range(3))
async def test_no_edit_breaks_a_file_or_the_daemon(api: Api, seed: int) -> None:
    chance, caller = random.Random(seed), Caller("root", may_write=True)
    api.files.write("etc/pvenetd/lxc/200.conf", b"net0: name=eth0,bridge=vmbr0\n")
    for name, text in RULES.items():
        api.files.write(f"etc/pvenetd/firewall/{name}.fw", text.encode())
    done = 0
    for _ in range(300):
        route = chance.choice(EDITS)
        path, given = request(route, chance)
        try:
            await answer(api.daemon, ROUTES, caller, route.method, path, given)
        except PvenetError:
            continue
        done += 1
        broken = [one for name in api.daemon.store.rule_names() for one in api.daemon.store.rules(name).problems]
        assert not [str(one) for one in broken if one.severity == "error"], (route.method, path, given)
    assert done > 20
    assert not [one for one in await api.daemon.firewall.problems() if one.severity == "error"]
    assert not [name for name in api.files.names("etc/pvenetd/firewall") if name.startswith(".")]
