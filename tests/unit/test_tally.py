"""What rules have counted, read from a listing."""

from __future__ import annotations

from pvenetd.firewall.tally import Tally, tallies, together

LISTING = """\
table inet pvenetd {
	chain nat-prerouting {
		type nat hook prerouting priority dstnat; policy accept;
		tcp dport 8080 counter packets 3 bytes 180 dnat ip to 10.10.10.2:80 comment "interfaces:9"
		tcp dport 8081 dnat ip to 10.10.10.2:81
	}
}
table inet docker {
	chain nat {
		counter packets 9 bytes 9 accept
	}
}
table bridge pvenetd {
	chain vm-100-in {
		counter packets 0 bytes 0 drop
	}
}
"""


def test_every_rule_of_ours_that_counts_is_told_with_its_line() -> None:
    assert list(tallies(LISTING)) == [
        Tally("inet", "nat-prerouting", "tcp dport 8080 dnat ip to 10.10.10.2:80", 3, 180, "interfaces:9"),
        Tally("bridge", "vm-100-in", "drop", 0, 0, ""),
    ]


def test_what_is_refused_before_it_is_decided_counts_where_it_is_decided() -> None:
    logging, refusing = "tcp dport 22 log prefix 'x' group 0", "tcp dport 22 goto refuse-in"
    decided = [Tally("bridge", "vm-100-in", text, 1, 40, "100.fw:4") for text in (logging, refusing)]
    others = [
        Tally("bridge", "vm-100-out", refusing, 9, 9, "100.fw:4"),
        Tally("bridge", "group-a-in-in", refusing, 0, 0, "cluster.fw:2"),
    ]
    answered = [
        Tally("netdev", "answer-vm-100-in-tap100i0", logging, 2, 80, "100.fw:4"),
        Tally("bridge", "answer-vm-100-in", refusing, 3, 120, "100.fw:4"),
        Tally("netdev", "answer-group-a-in-in", refusing, 4, 160, "cluster.fw:2"),
        Tally("netdev", "answer-vm-101-in", refusing, 5, 200, "101.fw:4"),
    ]
    assert together([*answered, *decided, *others]) == (
        decided[0]._replace(packets=3, bytes=120),
        decided[1]._replace(packets=4, bytes=160),
        others[0],
        others[1]._replace(packets=4, bytes=160),
    )
