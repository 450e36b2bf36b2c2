"""Masquerade: which commands are one, and what is loaded for them."""

import pytest

from pvenetd.nat import Masquerade, compile_nat, of_option, recognise, recognise_removal

DOCUMENTED = "iptables -t nat -A POSTROUTING -s '10.10.10.0/24' -o vmbr0 -j MASQUERADE"


@pytest.mark.parametrize(
    "command",
    [
        DOCUMENTED,
        'iptables -t nat -A POSTROUTING -s "10.10.10.0/24" -o vmbr0 -j MASQUERADE',
        "/sbin/iptables -t nat -I POSTROUTING -s 10.10.10.0/24 -o vmbr0 -j MASQUERADE",
        "/usr/sbin/iptables-nft -w -t nat -I POSTROUTING 1 -j MASQUERADE -o vmbr0 -s 10.10.10.0/24",
        "iptables -w 5 --table nat --append POSTROUTING --source 10.10.10.7/24 --out-interface vmbr0 --jump MASQUERADE",
    ],
)
def test_every_way_to_write_it_is_one_masquerade(command: str) -> None:
    found = recognise(command)
    assert found
    assert (found.network, found.out) == ("10.10.10.0/24", "vmbr0")
    assert recognise_removal(command) is None


def test_its_removal_is_recognised() -> None:
    assert recognise_removal(DOCUMENTED.replace("-A", "-D")) == recognise(DOCUMENTED)


@pytest.mark.parametrize(
    "command",
    [
        "",
        "iptables",
        "iptables -t nat -A POSTROUTING -s 'oops -o vmbr0 -j MASQUERADE",
        f"{DOCUMENTED} --to-ports 1024-2048",
        f"{DOCUMENTED}; echo done",
        f"{DOCUMENTED} || true",
        DOCUMENTED.replace("-o vmbr0", "! -o vmbr1"),
        DOCUMENTED.replace("-o vmbr0", ""),
        DOCUMENTED.replace("-o vmbr0", "-o $IFACE"),
        DOCUMENTED.replace("-o vmbr0", "-o vmbr+"),
        DOCUMENTED.replace("POSTROUTING", "PREROUTING"),
        DOCUMENTED.replace("-t nat ", ""),
        DOCUMENTED.replace("MASQUERADE", "SNAT"),
        DOCUMENTED.replace("10.10.10.0/24", "2001:db8::/64"),
        "iptables -t raw -I PREROUTING -i fwbr+ -j CT --zone 1",
        "echo 1 > /proc/sys/net/ipv4/ip_forward",
    ],
)
def test_what_says_more_or_less_stays_a_command(command: str) -> None:
    assert recognise(command) is None


def test_ipv6_has_its_own_program() -> None:
    found = recognise("ip6tables -t nat -A POSTROUTING -s 2001:db8:1::/64 -o vmbr0 -j MASQUERADE")
    assert found
    assert found.network == "2001:db8:1::/64"


def test_the_option_takes_the_networks_of_the_bridges_addresses() -> None:
    found = of_option("vmbr0", ["10.0.0.1/24", "2001:db8::1/64", "fe80::1/64"], "interfaces:7")
    assert [one.network for one in found] == ["10.0.0.0/24", "2001:db8::/64"]
    with pytest.raises(ValueError, match="nat-masquerade"):
        of_option("vmbr0; reboot", ["10.0.0.1/24"])


def test_the_same_masquerade_is_loaded_once() -> None:
    once = recognise(DOCUMENTED, "etc/network/interfaces:9")
    assert once
    (piece,) = compile_nat([once, Masquerade(once.network, once.out, "interfaces:12")])
    assert piece.text.count("masquerade") == 1
    assert (
        'oifname "vmbr0" meta nfproto ipv4 ip saddr 10.10.10.0/24 counter masquerade comment "interfaces:9"'
        in piece.text
    )
    assert compile_nat([]) == ()
