"""Layer 3 of a stanza: addresses, gateways, settings, DHCP clients, name servers."""

from __future__ import annotations

from typing import Any

import pytest

from pvenetd.compile import Compiled, compile_interfaces
from pvenetd.interfaces.config import single
from pvenetd.interfaces.syntax import parse
from pvenetd.resource import Resource
from pvenetd.state import Address, Client, Dns, Sysctl, from_json, state, to_json


def compiled(text: str) -> Compiled:
    return compile_interfaces(single(parse(f"auto eth0\n{text}\n", "interfaces")), ("eth0", "eth1"))


def found(kind: type[Resource], text: str) -> list[dict[str, Any]]:
    here = compiled(text)
    assert [str(problem) for problem in here.errors] == []
    hidden = {"owner", "origin", "dev", "iface"}
    return [one.model_dump(exclude_unset=True, exclude=hidden) for one in here.state.values() if isinstance(one, kind)]


@pytest.mark.parametrize(
    ("lines", "addresses"),
    [
        ("address 192.0.2.1\n netmask 24", [{"address": "192.0.2.1/24"}]),
        ("netmask 24\n address 192.0.2.1", [{"address": "192.0.2.1/24"}]),
        (
            "address 192.0.2.1\n address 192.0.2.2\n netmask 24",
            [{"address": "192.0.2.1/32"}, {"address": "192.0.2.2/24"}],
        ),
        ("address 192.0.2.1/24\n broadcast +", [{"address": "192.0.2.1/24", "broadcast": "192.0.2.255"}]),
        ("address 192.0.2.1/24\n broadcast -", [{"address": "192.0.2.1/24", "broadcast": "192.0.2.0"}]),
        ("address 192.0.2.1/31\n broadcast +", [{"address": "192.0.2.1/31"}]),
        (
            "address 192.0.2.1/24\n pointopoint 198.51.100.1",
            [{"address": "192.0.2.1/32", "peer": "198.51.100.1"}],
        ),
        (
            "address 192.0.2.1\n pointopoint 198.51.100.1/24",
            [{"address": "192.0.2.1/24", "peer": "198.51.100.1"}],
        ),
        ("address 192.0.2.1/24\n scope universe", [{"address": "192.0.2.1/24", "scope": "global"}]),
        ("address 192.0.2.1/24\n preferred-lifetime forever", [{"address": "192.0.2.1/24"}]),
        ("address 192.0.2.1/24\n dad-attempts 0", [{"address": "192.0.2.1/24"}]),
    ],
)
def test_lines_of_an_address(lines: str, addresses: list[dict[str, Any]]) -> None:
    assert found(Address, f"iface eth0 inet static\n {lines}") == addresses


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("iface eth0 inet static\n address 192.0.2.1/24\n broadcast 192.0.2", "address", 4),
        ("iface eth0 inet static\n address 192.0.2.1/24\n pointopoint x", "address", 4),
        ("iface eth0 inet static\n address 192.0.2.1/24\n scope here", "unknown-value", 4),
        ("iface eth0 inet static\n address 192.0.2.1/24\n preferred-lifetime soon", "unknown-value", 4),
        ("iface eth0 inet6 static\n address 2001:db8::1/64\n dad-attempts -1", "unknown-value", 4),
        ("iface eth0 inet static\n address 192.0.2.1/24\n gateway 192.0.2.254\n metric low", "unknown-value", 5),
        ("iface eth0 inet static\n address 192.0.2.1/24\n address 192.0.2.2\n netmask 33", "netmask", 5),
        ("iface eth0 inet manual\n ip-forward perhaps", "unknown-value", 3),
        ("iface eth0 inet6 auto\n accept_ra 3", "unknown-value", 3),
        ("iface eth0 inet6 static\n address 2001:db8::1/64\n disable-ipv6 yes", "address", 3),
        ("iface eth0 inet dhcp\n leasetime long", "unknown-value", 3),
        ("iface eth0 inet6 dhcp\n ll-interval often", "unknown-value", 3),
    ],
)
def test_what_is_wrong_has_its_code_and_line(text: str, code: str, line: int) -> None:
    assert (code, line) in {(problem.code, problem.line) for problem in compiled(text).errors}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("iface eth0 inet static\n address 192.0.2.1/24\n address-purge yes", "addresses that others have added stay"),
        ("iface eth0 inet dhcp\n address 192.0.2.1/24", "an address in a dhcp stanza is not applied"),
        ("iface eth0 inet manual\n dns-nameservers 192.0.2.53 #later", "which is no address"),
        ("iface eth0 inet manual\niface eth0:1 inet dhcp", "an alias has none"),
        ("iface eth0 inet bootp", "method bootp is not applied"),
        (
            "iface eth0 inet static\n address 192.0.2.1/24\n address-virtual 00:00:5e:00:01:01 192.0.2.9/24",
            "address-virtual",
        ),
    ],
)
def test_warnings_refuse_nothing(text: str, words: str) -> None:
    here = compiled(text)
    assert here.errors == ()
    assert [words in problem.message for problem in here.problems].count(True) == 1


@pytest.mark.parametrize(
    ("text", "clients"),
    [
        ("iface eth0 inet dhcp", [{"family": "inet"}]),
        ("iface eth0 inet6 dhcp", [{"family": "inet6"}]),
        ("iface eth0 inet6 auto", []),
        ("iface eth0 inet6 auto\n dhcp 1", [{"family": "inet6", "stateless": True}]),
        (
            "iface eth0 inet dhcp\n leasehours 2\n client no\n hwaddress ether 02:00:5e:10:00:01",
            [{"family": "inet", "leasetime": 7200, "client_id": "no", "mac": "ether 02:00:5e:10:00:01"}],
        ),
        ("iface eth0 inet dhcp\niface eth0 inet6 dhcp", [{"family": "inet"}, {"family": "inet6"}]),
    ],
)
def test_clients_of_the_methods(text: str, clients: list[dict[str, Any]]) -> None:
    assert found(Client, text) == clients


@pytest.mark.parametrize(
    ("lines", "dns"),
    [
        ("dns-nameserver 192.0.2.53\n dns-nameserver 192.0.2.54", [{"nameservers": ("192.0.2.53", "192.0.2.54")}]),
        ("dns-search a b\n dns-domain c", [{"search": ("a", "b"), "domain": ("c",)}]),
        ("dns-nameservers ns1", []),
    ],
)
def test_name_servers(lines: str, dns: list[dict[str, Any]]) -> None:
    assert found(Dns, f"iface eth0 inet manual\n {lines}") == dns


def test_the_last_of_two_spellings_of_a_setting_stands() -> None:
    text = "iface eth0 inet manual\n disable-ipv6 yes\n disable-ip6 no"
    assert found(Sysctl, text) == [{"name": "net/ipv6/conf/eth0/disable_ipv6", "value": "0"}]


def test_what_is_recorded_is_read_again() -> None:
    text = "iface eth0 inet dhcp\n hostname a\n ip-forward yes\n dns-nameservers 192.0.2.53\n"
    wanted = compiled(text + "iface eth0 inet6 static\n address 2001:db8::1/64\n preferred-lifetime 5").state
    assert from_json(to_json(wanted)) == wanted
    assert state(wanted.values()) == wanted


def test_a_lifetime_that_has_begun_to_run_is_no_difference() -> None:
    given = Address(dev="eth0", address="192.0.2.1/24", preferred_lifetime=60, owner="interfaces")
    for now, differs in ((60, False), (1, False), (0, True), (61, True), ("forever", True)):
        assert bool(given.changes(given.model_copy(update={"preferred_lifetime": now}))) is differs
