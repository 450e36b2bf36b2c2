"""cluster.fw, host.fw and bridges' files to chains: the host's, those that guests share, those of bridges."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from pvenetd.errors import ConfigError
from pvenetd.firewall.compile import RAISED, Guest, Nic, compile_ruleset, host_sysctls
from pvenetd.firewall.resolve import Names
from pvenetd.firewall.ruleset import Piece
from pvenetd.firewall.syntax import parse_bridge, parse_cluster, parse_guest, parse_host
from tests.rules import chain

SETS = """\
[IPSET management]
198.51.100.0/24
2001:db8::/64
[IPSET blacklist]
203.0.113.0/24
!203.0.113.7
"""
GROUP = """\
[group Web]
IN HTTP(ACCEPT)
OUT REJECT -p udp -log crit
FORWARD DROP -p sctp
"""


ALTERNATIVE = "enp0s31f6-on-the-left"


def test_an_alternative_name_is_the_interface_that_has_it() -> None:
    host = parse_host(f"[RULES]\nIN ACCEPT -i {ALTERNATIVE}\n", "host.fw")
    cluster = parse_cluster("[OPTIONS]\nenable: 1\n")
    found = compile_ruleset(cluster, host, devices={ALTERNATIVE: "eno7"})
    piece = next(piece for piece in found.pieces if piece.name == "host")
    assert "host.fw:2: accept iif=eno7" in chain(piece, "host-in")
    (nobodys,) = (piece for piece in compile_ruleset(cluster, host).pieces if piece.name == "host")
    assert not any(rule.startswith("host.fw") for rule in chain(nobodys, "host-in"))
    assert [str(one) for one in Names(cluster).problems(host)] == [
        f"host.fw:2: warning unknown-name: never matches: no interface has the alternative name {ALTERNATIVE}"
    ]


def pieces(cluster: str = "", host: str = "", **bridges: str) -> dict[str, Piece]:
    found = compile_ruleset(
        parse_cluster(f"[OPTIONS]\nenable: 1\n{cluster}"),
        parse_host(f"[OPTIONS]\n{host}"),
        bridges={name: parse_bridge(f"[OPTIONS]\n{text}", f"{name}.fw") for name, text in bridges.items()},
        local_network="192.0.2.7/24",
        cluster_nodes=[ip_address("192.0.2.8"), ip_address("2001:db8::8")],
    )
    return {piece.name: piece for piece in found.pieces}


def end(rules: list[str], *after: str) -> list[str]:
    """Return the rules from the first that has one of these origins."""
    return next(rules[at:] for at, rule in enumerate(rules) if rule.startswith(tuple(f"{one}:" for one in after)))


PORTS = "22,3128,5900-5999,8006,60000-60050"


def test_the_order_of_what_the_host_gets() -> None:
    rules = chain(
        pieces(
            f"policy_in: REJECT\n{SETS}{GROUP}[RULES]\nGROUP web -i vmbr0\n",
            "tcpflags: 1\nlog_level_in: info\nsmurf_log_level: err\n[RULES]\nIN ACCEPT -p tcp -dport 80 -i vmbr1\n",
        )["host"],
        "host-in",
    )
    assert rules[:2] == ["loopback: accept iif=lo", "established: accept state=established,related"]
    assert [rule for rule in end(rules, "invalid") if not rule.startswith("tcpflags")] == [
        "invalid: drop ethertypes=ip,ip6 state=invalid",
        *(
            f"blacklist: {verdict} source=@dc-blacklist-v{version}{log}"
            for version in (4, 6)
            for verdict, log in (("log", " limit=<1/second burst 5> log=<0 6 in blacklist DROP>"), ("drop", ""))
        ),
        "nosmurfs: log ethertypes=ip smurf=True limit=<1/second burst 5> log=<0 3 in smurf DROP>",
        "nosmurfs: drop ethertypes=ip smurf=True",
        "dhcp: accept ethertypes=ip protocol=17 sport=67 dport=68",
        "dhcp: accept ethertypes=ip6 protocol=17 sport=547 dport=546",
        "host.fw:6: accept iif=vmbr1 protocol=6 dport=80",
        "cluster.fw:15: jump group-web-in iif=vmbr0",
        f"management: accept protocol=6 source=@dc-management-v4 dport={PORTS}",
        f"management: accept protocol=6 source=@dc-management-v6 dport={PORTS}",
        f"management: accept protocol=6 source=192.0.2.0/24 dport={PORTS}",
        "corosync: accept protocol=17 source=192.0.2.8/32 dport=5404-5412",
        "corosync: accept protocol=17 source=2001:db8::8/128 dport=5404-5412",
        "noise: jump host-noise-reject-in",
        "policy_in: log limit=<1/second burst 5> log=<0 6 in policy REJECT>",
        "policy_in: reject",
    ]


def test_the_order_of_what_the_host_sends() -> None:
    rules = chain(pieces(f"policy_out: DROP\n{SETS}{GROUP}[RULES]\nGROUP web -i vmbr0\n")["host"], "host-out")
    assert end(rules, "cluster.fw") == [
        "cluster.fw:15: jump group-web-out oif=vmbr0",
        f"management: accept protocol=6 dest=192.0.2.0/24 dport={PORTS}",
        "corosync: accept protocol=17 dest=192.0.2.8/32 dport=5404-5412",
        "corosync: accept protocol=17 dest=2001:db8::8/128 dport=5404-5412",
        "policy_out: drop",
    ]


@pytest.mark.parametrize(
    ("host", "rules"),
    [
        ("", 1),
        ("nosmurfs: 0\n", 0),
        ("nosmurfs: 0\ntcpflags: 1\n", 5),
        ("nosmurfs: 0\ntcpflags: 1\ntcp_flags_log_level: info\n", 10),
    ],
)
def test_malformed_packets_are_dropped_for_host_and_guests(host: str, rules: int) -> None:
    found = pieces("", host)
    for piece, name in (("host", "host-in"), ("groups", "screen-in")):
        odd = [rule for rule in chain(found[piece], name) if rule.startswith(("nosmurfs", "tcpflags"))]
        assert len(odd) == rules


def test_the_local_network_is_the_clusters_alias_where_it_has_one() -> None:
    rules = chain(pieces("[ALIASES]\nlocal_network 203.0.113.0/24\n")["host"], "host-in")
    assert f"management: accept protocol=6 source=203.0.113.0/24 dport={PORTS}" in rules
    assert not any("source=192.0.2.0/24" in rule for rule in rules)


@pytest.mark.parametrize(
    ("cluster", "host", "rules"),
    [
        ("", "", None),
        ("policy_forward: ACCEPT\n", "log_level_forward: info\n", None),
        ("policy_forward: DROP\n", "", ["policy_forward: drop"]),
        (
            "policy_forward: DROP\n",
            "log_level_forward: info\n",
            ["policy_forward: log limit=<1/second burst 5> log=<0 6 forward policy DROP>", "policy_forward: drop"],
        ),
        (
            f"{GROUP}[RULES]\nFORWARD DROP -p tcp\nGROUP web -i vmbr0\n",
            "[RULES]\nFORWARD ACCEPT -dest 192.0.2.9 -log err\n",
            [
                "host.fw:3: log ethertypes=ip dest=192.0.2.9/32 limit=<1/second burst 5> log=<0 3 forward ACCEPT>",
                "host.fw:3: accept ethertypes=ip dest=192.0.2.9/32",
                "cluster.fw:8: drop protocol=6",
                "cluster.fw:9: jump group-web-forward iif=vmbr0",
                "policy_forward: accept",
            ],
        ),
    ],
)
def test_what_the_host_routes_is_filtered_where_somebody_asks_for_it(
    cluster: str, host: str, rules: list[str] | None
) -> None:
    found = chain(pieces(cluster, host)["host"], "host-forward")
    known = ["established: accept state=established,related", "invalid: drop ethertypes=ip,ip6 state=invalid"]
    assert found == ([*known, *rules] if rules else [])


def test_invalid_packets_are_dropped_for_guests_unless_allowed_and_for_the_host_always() -> None:
    drop = "invalid: drop ethertypes=ip,ip6 state=invalid"
    for host, dropped in (("", True), ("nf_conntrack_allow_invalid: 1\n", False)):
        found = pieces("policy_forward: DROP\n", host, vmbr0="enable: 1\n")
        ways = {name: drop in chain(found["groups"], f"screen-{name}") for name in ("in", "out")}
        assert ways == {"in": dropped, "out": dropped}
        assert (drop in chain(found["bridge:vmbr0"], "bridge-vmbr0")) == dropped
        assert (drop in chain(found["host"], "host-forward")) == dropped
        assert drop in chain(found["host"], "host-in")


def test_a_host_that_is_not_filtered_still_protects_its_guests() -> None:
    assert "host" not in pieces(SETS, "enable: 0\n")
    found = pieces(SETS, "enable: 0\nprotection_synflood: 1\nnf_conntrack_helpers: tftp\n")
    assert {one.name for one in found["host"].chains} == {"host-synflood", "host-helpers", "host-helpers-own"}
    assert "blacklist: drop source=@dc-blacklist-v4" in chain(found["groups"], "screen-in")


@pytest.mark.parametrize(
    ("host", "limit"),
    [
        ("", "<over 200/second burst 1000 each>"),
        ("protection_synflood_rate: 7\nprotection_synflood_burst: 9\n", "<over 7/second burst 9 each>"),
    ],
)
def test_floods_are_stopped_before_anything_else(host: str, limit: str) -> None:
    piece = pieces("", f"protection_synflood: 1\n{host}")["host"]
    for table in ("inet", "bridge"):
        assert chain(piece, "host-synflood", table) == [
            f"protection_synflood: drop ethertypes={kind} protocol=6 tcp_flags=0x2/0x17 limit={limit}"
            for kind in ("ip", "ip6")
        ]


def test_helpers_are_given_by_protocol_and_port() -> None:
    names = "ftp,tftp;sip amanda sane irc netbios-ns pptp snmp"
    piece = pieces("", f"nf_conntrack_helpers: {names}\n")["host"]
    wanted = [
        "protocol=17 dport=10080 helper=amanda",
        "protocol=6 dport=21 helper=ftp",
        "ethertypes=ip protocol=6 dport=6667 helper=irc",
        "ethertypes=ip protocol=17 dport=137 helper=netbios-ns",
        "ethertypes=ip protocol=6 dport=1723 helper=pptp",
        "protocol=6 dport=6566 helper=sane",
        "protocol=17 dport=5060 helper=sip",
        "ethertypes=ip protocol=17 dport=161 helper=snmp",
        "protocol=17 dport=69 helper=tftp",
    ]
    for name, table in (("host-helpers", "inet"), ("host-helpers-own", "inet"), ("host-helpers", "bridge")):
        assert chain(piece, name, table) == [f"nf_conntrack_helpers: helper {words}" for words in wanted]


def test_connections_are_written_down_where_they_begin() -> None:
    piece = pieces("", "log_nf_conntrack: 1\n")["host"]
    for table, name, way in (
        ("inet", "host-connections", "in"),
        ("inet", "host-connections-own", "out"),
        ("bridge", "host-connections", "forward"),
    ):
        assert chain(piece, name, table) == [f"log_nf_conntrack: log state=new log=<0 6 {way} conntrack NEW>"]


@pytest.mark.parametrize(
    ("host", "sysctls"),
    [
        ("", {}),
        ("nf_conntrack_max: 32768\n", {"nf_conntrack_max": "32768", "nf_conntrack_buckets": "8192"}),
        ("nf_conntrack_max: 32769\n", {"nf_conntrack_max": "40960", "nf_conntrack_buckets": "10240"}),
        (
            "nf_conntrack_tcp_timeout_established: 7875\nnf_conntrack_tcp_timeout_syn_recv: 45\n",
            {"nf_conntrack_tcp_timeout_established": "7875", "nf_conntrack_tcp_timeout_syn_recv": "45"},
        ),
    ],
)
def test_the_kernels_settings(host: str, sysctls: dict[str, str]) -> None:
    found = host_sysctls(parse_host(f"[OPTIONS]\n{host}"))
    assert found == {f"net/netfilter/{name}": value for name, value in sysctls.items()}
    assert {name for name in found if "timeout" not in name} <= RAISED


def test_sets_stand_in_both_families_and_groups_in_both_tables_used_or_not() -> None:
    found = pieces(f"{SETS}[IPSET empty]\n{GROUP}IN ACCEPT -source +blacklist\n")
    sets = {(one.name, one.version): len(one.spans) for one in found["sets"].sets}
    assert sets == {
        ("dc-management", 4): 1,
        ("dc-management", 6): 1,
        ("dc-blacklist", 4): 2,
        ("dc-blacklist", 6): 0,
        ("dc-empty", 4): 0,
        ("dc-empty", 6): 0,
    }
    for table in ("inet", "bridge"):
        assert chain(found["groups"], "group-web-in", table) == [
            "cluster.fw:11: accept protocol=6 dport=80",
            *(
                f"cluster.fw:14: accept ethertypes={kind} source=@dc-blacklist-v{version}"
                for kind, version in (("ip", 4), ("ip6", 6))
            ),
        ]
        assert chain(found["groups"], "group-web-out", table) == [
            "cluster.fw:12: log protocol=17 limit=<1/second burst 5> log=<0 2 out REJECT>",
            "cluster.fw:12: reject protocol=17",
        ]
        assert chain(found["groups"], "group-web-forward", table) == ["cluster.fw:13: drop protocol=132"]
    assert "sets" not in pieces(GROUP)


def test_each_rule_that_logs_has_its_own_limit_or_none() -> None:
    for text, limit in (("log_ratelimit: 1,rate=5/hour,burst=2", " limit=<5/hour burst 2>"), ("log_ratelimit: 0", "")):
        rules = chain(pieces(f"{text}\n{GROUP}")["groups"], "group-web-out", "inet")
        assert rules[0] == f"cluster.fw:6: log protocol=17{limit} log=<0 2 out REJECT>"


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("", None),
        ("enable: 1\n", ["policy_forward: accept"]),
        (
            "enable: 1\npolicy_forward: DROP\nlog_level_forward: info\n[RULES]\nFORWARD ACCEPT -p tcp\nGROUP web\n",
            [
                "vmbr0.fw:6: accept protocol=6",
                "vmbr0.fw:7: jump group-web-forward",
                "policy_forward: log limit=<1/second burst 5> log=<0 6 forward policy DROP>",
                "policy_forward: drop",
            ],
        ),
    ],
)
def test_what_is_forwarded_in_a_bridge(text: str, rules: list[str] | None) -> None:
    piece = pieces(GROUP, vmbr0=text).get("bridge:vmbr0")
    assert (piece is None) == (rules is None)
    if piece:
        assert piece.bridge == "vmbr0"
        assert chain(piece, "bridge-vmbr0") == [
            "established: accept state=established,related",
            "nested VLAN tag: drop ethertypes=vlan,qinq",
            "invalid: drop ethertypes=ip,ip6 state=invalid",
            "arp: accept ethertypes=arp,rarp",
            "igmp: accept protocol=2",
            "igmp: accept protocol=58 icmp=130,131,132,143",
            "ndp: accept protocol=58 icmp=133,135,136,134",
            *(rules or ()),
        ]


def test_one_wrong_file_keeps_nobody_else_from_being_compiled() -> None:
    guests = [
        Guest(vmid, parse_guest(text, f"{vmid}.fw"), {0: Nic(f"tap{vmid}i0", firewall=True, mac="02:00:00:00:00:01")})
        for vmid, text in (
            (100, "[OPTIONS]\nenable: 1\n[RULES]\nGROUP nobody\n"),
            (101, "[OPTIONS]\nenable: 1\n"),
            (102, "[OPTIONS]\nenable: yes\n"),
        )
    ]
    bridges = {"vmbr0": parse_bridge("[OPTIONS]\nenable: on\n", "vmbr0.fw")}
    cluster, host = parse_cluster("[OPTIONS]\nenable: 1\n"), parse_host("")
    with pytest.raises(ConfigError) as all_of_it:
        compile_ruleset(cluster, host, guests, bridges=bridges)
    wrong = ["vmbr0.fw", "100.fw", "102.fw"]
    assert [problem.path for problem in all_of_it.value.problems] == wrong
    told = {}

    def instead(name: str, error: ConfigError) -> Piece | None:
        told[name] = [problem.path for problem in error.problems]
        return Piece(f"{name} as it was", ()) if name == "vm:100" else None

    found = compile_ruleset(cluster, host, guests, bridges=bridges, refused=instead)
    assert [piece.name for piece in found.pieces] == ["groups", "host", "vm:100 as it was", "vm:101"]
    assert told == {"bridge:vmbr0": ["vmbr0.fw"], "vm:100": ["100.fw"], "vm:102": ["102.fw"]}


@pytest.mark.parametrize(
    ("cluster", "host", "message"),
    [
        ("[RULES]\nIN ACCEPT -source +nobody\n", "", "cluster.fw:4: error unknown-name"),
        ("[group web]\nIN ACCEPT -source guest/own\n", "", "cluster.fw:4: error"),
        ("[IPSET mine]\nnobody\n", "", "cluster.fw:4: error unknown-name"),
        ("", "[RULES]\nGROUP nobody\n", "host.fw:3: error unknown-name"),
    ],
)
def test_what_is_wrong_for_all_is_refused_as_a_whole(cluster: str, host: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        pieces(cluster, host)
