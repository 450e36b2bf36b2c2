"""One rule in iptables' words, and the names it takes."""

from __future__ import annotations

import pytest

from pvenetd.firewall.iptables_names import CHAIN_LENGTH, SET_LENGTH, chain_name, port_chain, set_name
from pvenetd.firewall.iptables_words import Lists, Place, device, lines
from pvenetd.firewall.ruleset import ICMP, IP6, TCP, Addresses, IcmpType, Limit, Log, Rule, SetRef, Span, TcpFlags

PORTS = tuple(Span(number, number) for number in range(1, 18))
FEW = Addresses(4, (Span(0xC0000200, 0xC00002FF),))
RANGE = Addresses(4, (Span(0xC0000201, 0xC0000203),))
SEVERAL = Addresses(4, (Span(0xC0000201, 0xC0000201), Span(0xC0000203, 0xC0000203)))
X = "x"
ALL = Addresses(6, (Span(0, 2**128 - 1),))


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        (Rule("accept"), ["-j ACCEPT"]),
        (Rule("accept", ethertypes=(IP6,)), []),
        (Rule("drop", source=FEW), ["-s 192.0.2.0/24 -j DROP"]),
        (Rule("drop", not_dest=RANGE), ["-m iprange ! --dst-range 192.0.2.1-192.0.2.3 -j DROP"]),
        (Rule("drop", source=SEVERAL), ["-m set --match-set PVEFW-100-1056de702a-v4 src -j DROP"]),
        (Rule("drop", not_source=SetRef("dc-web", 4)), ["-m set ! --match-set PVEFW-0-web-v4 src -j DROP"]),
        (Rule("drop", source=Addresses(4, ())), []),
        (Rule("drop", not_source=Addresses(4, ())), ["-j DROP"]),
        (Rule("drop", not_source=ALL), []),
        (Rule("accept", protocol=0), []),
        (Rule("accept", protocol=47), ["-p 47 -j ACCEPT"]),
        (Rule("accept", protocol=TCP, dport=(Span(80, 81),)), ["-p tcp -m tcp --dport 80:81 -j ACCEPT"]),
        (
            Rule("accept", protocol=TCP, dport=PORTS),
            [
                f"-p tcp -m multiport --dports {','.join(map(str, range(1, 16)))} -j ACCEPT",
                "-p tcp -m multiport --dports 16,17 -j ACCEPT",
            ],
        ),
        (
            Rule("drop", sport=(Span(0, 0),), tcp_flags=TcpFlags(0x17, 2)),
            ["-p tcp -m tcp --sport 0 --tcp-flags FIN,SYN,RST,ACK SYN -j DROP"],
        ),
        (Rule("drop", tcp_flags=TcpFlags(0x3F, 0)), ["-p tcp -m tcp --tcp-flags FIN,SYN,RST,PSH,ACK,URG NONE -j DROP"]),
        (
            Rule("drop", protocol=ICMP, icmp=(IcmpType(8), IcmpType(3, 4))),
            ["-p icmp -m icmp --icmp-type 8 -j DROP", "-p icmp -m icmp --icmp-type 3/4 -j DROP"],
        ),
        (Rule("accept", iif="tap100i1"), []),
        (Rule("accept", iif="tap100i0"), ["-j ACCEPT"]),
        (Rule("drop", not_mac="02:00:00:00:00:01"), ["-m mac ! --mac-source 02:00:00:00:00:01 -j DROP"]),
        (Rule("drop", state=("established", "related")), ["-m conntrack --ctstate ESTABLISHED,RELATED -j DROP"]),
        (Rule("drop", limit=Limit(1, "day", 9)), ["-m limit --limit 1/day --limit-burst 1 -j DROP"]),
        (
            Rule("drop", limit=Limit(10**9, "second", 10**9)),
            ["-m limit --limit 10000/second --limit-burst 10000 -j DROP"],
        ),
        (
            Rule("log", log=Log(100, 6, "in", "DROP"), origin=X * 200),
            [f'-m comment --comment "{X * 120}" -j NFLOG --nflog-prefix ":100:6:in: DROP: {X * 46}" --nflog-group 0'],
        ),
        (Rule("queue", queue=Span(2, 5)), ["-j NFQUEUE --queue-balance 2:5 --queue-bypass"]),
        (Rule("jump", target="group-web-in", origin="100.fw:3"), ['-m comment --comment "100.fw:3" -j GROUP-web-IN']),
    ],
)
def test_a_rule_in_a_port_s_chain_of_ipv4(rule: Rule, told: list[str]) -> None:
    assert list(lines([rule], Place(4, Lists("vm:100"), bridged=True, port="tap100i0"))) == told


def test_the_last_icmp_type_is_not_all_of_them() -> None:
    (told,) = lines([Rule("accept", protocol=ICMP, icmp=(IcmpType(255),))], Place(4, Lists("host")))
    assert "--icmp-type" not in told
    assert "21 0 1 255" in told


@pytest.mark.parametrize("name", ["eth+", "a b", 'a"b', "", "a" * 16])
def test_a_device_s_name_is_never_a_wildcard_or_more_than_one_word(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be written"):
        device(name)


LONG = "a" * 64


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        (chain_name(f"group-{'g' * 18}-in"), CHAIN_LENGTH),
        (chain_name(f"group-{'g' * 18}-forward"), CHAIN_LENGTH),
        (chain_name(f"vm-999999999-group-{'g' * 18}-in"), CHAIN_LENGTH),
        (chain_name(f"bridge-{'b' * 15}"), CHAIN_LENGTH),
        (port_chain("veth999999999i3", "out"), CHAIN_LENGTH),
        (set_name(f"dc-{LONG}", 6), SET_LENGTH),
    ],
)
def test_names_fit(name: str, limit: int) -> None:
    assert len(name) <= limit


def test_long_names_differ() -> None:
    assert set_name(f"dc-{LONG}", 4) != set_name(f"dc-{LONG[1:]}b", 4)
    assert chain_name("group-web-in") == "GROUP-web-IN"
    assert set_name("dc-web", 4) == "PVEFW-0-web-v4"


@pytest.mark.parametrize("name", ["group-a b-in", "bridge-a\nb", 'vm-1"'])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be a name"):
        chain_name(name)
