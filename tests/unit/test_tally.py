"""What rules have counted, read from a listing."""

from __future__ import annotations

from pvenetd.firewall.tally import Tally, tallies

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
