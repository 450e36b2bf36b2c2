"""NAT by the API: a line at a time, or all of an interface's, staged as other edits are."""

from __future__ import annotations

import json

import pytest

from tests.api.server import INTERFACES, NODE, OURS, Api

ACTIVE, STAGED = "etc/network/interfaces", "etc/network/interfaces.new"
STANZA = """
auto vmbr1
iface vmbr1 inet static
	address 10.10.10.1/24
	bridge-ports none
	# out
	nat-masquerade  vmbr0
	# the web
	nat-forward tcp 80   10.10.10.2
"""
NAT = f"{OURS}/nat"
JSON = ("-H", "Content-Type: application/json", "-d")


@pytest.fixture
async def bridged(api: Api) -> Api:
    """A host with a private network behind it."""
    api.files.write(ACTIVE, (INTERFACES + STANZA).encode())
    await api.data("POST", f"{OURS}/apply")
    return api


def form(**values: str) -> list[str]:
    return [word for key, value in values.items() for word in ("--data-urlencode", f"{key.replace('_', '-')}={value}")]


def text(api: Api, name: str = STAGED) -> str:
    return (api.files.read(name) or b"").decode()


async def kinds(api: Api) -> list[tuple[str, str, str]]:
    return [(one["kind"], one["ports"], one["target"]) for one in await api.data("GET", NAT)]


async def test_a_forward_and_a_floating_address_come_and_go_and_the_rest_keeps_its_bytes(bridged: Api) -> None:
    await bridged.data("POST", NAT, *form(iface="vmbr1", nat_forward="tcp 8443 10.10.10.2:443"))
    await bridged.data("POST", NAT, *form(iface="vmbr1", nat_one_to_one="vmbr0 192.0.2.9 10.10.10.9"))
    added = "\tnat-forward tcp 8443 10.10.10.2:443\n\tnat-one-to-one vmbr0 192.0.2.9 10.10.10.9\n"
    assert text(bridged) == INTERFACES + STANZA + added
    assert await kinds(bridged) == [("masquerade", "", ""), ("forward", "80", "10.10.10.2")], "staged, not live"
    await bridged.data("PUT", f"{NODE}/network")
    assert await kinds(bridged) == [
        ("masquerade", "", ""),
        ("forward", "80", "10.10.10.2"),
        ("forward", "8443", "10.10.10.2"),
        ("one-to-one", "", "10.10.10.9"),
    ]
    status, body = await bridged.ask("POST", NAT, *form(iface="vmbr1", nat_forward="tcp 80 10.10.10.2"))
    assert (status, body["errors"]) == (400, {"nat-forward": "'tcp 80 10.10.10.2' is there already"})
    gone = {
        "iface": "vmbr1",
        "nat-forward": ["tcp 8443 10.10.10.2:443"],
        "nat-one-to-one": "vmbr0 192.0.2.9 10.10.10.9",
    }
    await bridged.data("DELETE", NAT, *JSON, json.dumps(gone))
    assert text(bridged) == INTERFACES + STANZA
    await bridged.data("DELETE", NAT, *form(iface="vmbr1", nat_masquerade="vmbr0"))
    assert text(bridged) == INTERFACES + STANZA.replace("\tnat-masquerade  vmbr0\n", "")


async def test_all_lines_of_an_option_are_set_where_interfaces_are_edited(bridged: Api) -> None:
    lines = ["tcp 80 10.10.10.3", "udp 5000-5010 10.10.10.3"]
    await bridged.data("PUT", f"{NODE}/network/vmbr1", *JSON, json.dumps({"nat-forward": lines}))
    await bridged.data("PUT", f"{NODE}/network/vmbr1", *form(delete="nat-masquerade"))
    await bridged.data("PUT", f"{NODE}/network")
    assert await kinds(bridged) == [("forward", "80", "10.10.10.3"), ("forward", "5000-5010", "10.10.10.3")]


@pytest.mark.parametrize(
    ("method", "values", "errors"),
    [
        ("POST", {"iface": "vmbr1"}, {"nat-forward": "is missing"}),
        ("POST", {"iface": "vmbr7", "nat-masquerade": "vmbr0"}, {"iface": "does not exist"}),
        ("POST", {"iface": "vmbr1", "nat-forward": "tcp 99999 10.10.10.2", "nat-one-to-one": "vmbr0 192.0.2.9"},
         {"nat-forward": "99999", "nat-one-to-one": "wants IFACE PUBLIC PRIVATE"}),
        ("POST", {"iface": "vmbr1", "nat-forward": "tcp 80 10.10.10.7"}, {"nat-forward": "80"}),
        ("POST", {"iface": "vmbr1", "nat-forward": "tcp 81 10.10.10.7\n\tup true"}, {"nat-forward": "control"}),
        ("DELETE", {"iface": "vmbr1", "nat-forward": "tcp 81 10.10.10.2"}, {"nat-forward": "there is no"}),
        ("POST", {"iface": "vmbr1", "nat-hairpin": "yes"}, {"nat-hairpin": "no such parameter"}),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_told_by_key_and_nothing_is_staged(
    bridged: Api, method: str, values: dict[str, str], errors: dict[str, str]
) -> None:
    status, body = await bridged.ask(method, NAT, *form(**{key.replace("-", "_"): one for key, one in values.items()}))
    assert (status, body["errors"].keys()) == (400, errors.keys()), body
    assert [key for key, one in errors.items() if one not in body["errors"][key]] == [], body
    assert bridged.files.read(STAGED) is None
