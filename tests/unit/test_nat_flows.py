"""Which connections a change of forwards takes back."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from pvenetd.nat.flows import Connection, Forwarded, forwarded, outdated

OURS = """\
table inet pvenetd {
	chain nat-prerouting {
		type nat hook prerouting priority dstnat; policy accept;
		meta nfproto ipv4 meta l4proto 6 ip daddr != { 10.10.10.1, 127.0.0.0/8 } th dport 8080 fib daddr type local \
counter dnat ip to 10.10.10.2:80 comment "interfaces:9"
		meta nfproto ipv4 meta l4proto 17 ip daddr 192.0.2.9 th dport 5000-5001 counter dnat ip to 10.10.10.2 : th \
dport map { 5000 : 6000, 5001 : 6001 } comment "interfaces:10"
		meta nfproto ipv6 meta l4proto 6 th dport 443 fib daddr type local counter dnat ip6 to [2001:db8:1::2]:8443
		meta nfproto ipv6 ip6 daddr 2001:db8::9 counter dnat ip6 to 2001:db8:1::9 comment "interfaces:11"
	}
	chain nat-postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		oifname "vmbr0" meta nfproto ipv4 ip saddr 10.10.10.0/24 counter masquerade comment "interfaces:12"
	}
}
"""
LISTED = """\
table inet pvenetd {
	chain nat-prerouting {
		type nat hook prerouting priority dstnat; policy accept;
		ip daddr != { 10.10.10.1, 127.0.0.0/8 } tcp dport 8080 fib daddr type local counter dnat ip to 10.10.10.2:80 \
comment "interfaces:9"
		ip daddr 192.0.2.9 udp dport 5000-5001 counter dnat ip to 10.10.10.2:udp dport map { 5000 : 6000, \
5001 : 6001 } comment "interfaces:10"
		meta nfproto ipv6 tcp dport 443 fib daddr type local counter dnat ip6 to [2001:db8:1::2]:8443
		ip6 daddr 2001:db8::9 counter dnat ip6 to 2001:db8:1::9 comment "interfaces:11"
	}
}
"""
PUBLIC, GUEST = ip_address("192.0.2.9"), ip_address("10.10.10.2")
WEB = Forwarded(6, None, (8080, 8080), GUEST, "80")
GAME = Forwarded(17, PUBLIC, (5000, 5001), GUEST, "5000600050016001")


def test_our_own_words_and_the_kernels_say_the_same() -> None:
    assert forwarded(OURS) == forwarded(LISTED)
    assert {WEB, GAME} <= forwarded(OURS)
    assert len(forwarded(OURS)) == 4
    assert forwarded("") == frozenset()


def test_a_line_that_moves_is_the_same_forward() -> None:
    assert forwarded(OURS) == forwarded(OURS.replace("interfaces:9", "interfaces:19"))
    assert WEB not in forwarded(OURS.replace("10.10.10.2:80", "10.10.10.3:80"))


@pytest.mark.parametrize(
    ("connection", "gone", "come", "expected"),
    [
        (Connection(6, PUBLIC, 8080, GUEST, forwarded=True, answered=True), [WEB], [], True),
        (Connection(6, PUBLIC, 8080, GUEST, forwarded=True, answered=True), [], [WEB], False),
        (Connection(6, PUBLIC, 8081, GUEST, forwarded=True, answered=True), [WEB], [], False),
        (Connection(17, PUBLIC, 8080, GUEST, forwarded=True, answered=True), [WEB], [], False),
        (Connection(6, PUBLIC, 8080, PUBLIC, forwarded=False, answered=True), [WEB], [], False),
        # Forwarded by somebody else, to somebody else.
        (Connection(6, PUBLIC, 8080, ip_address("172.17.0.2"), forwarded=True, answered=True), [WEB], [], False),
        (Connection(17, PUBLIC, 5001, GUEST, forwarded=True, answered=True), [GAME], [], True),
        (Connection(17, ip_address("192.0.2.1"), 5001, GUEST, forwarded=True, answered=True), [GAME], [], False),
        # Who sends on and on to a port where nobody was.
        (Connection(17, PUBLIC, 5001, PUBLIC, forwarded=False, answered=False), [], [GAME], True),
        (Connection(17, PUBLIC, 5001, PUBLIC, forwarded=False, answered=True), [], [GAME], False),
        (Connection(6, PUBLIC, 8080, PUBLIC, forwarded=False, answered=False), [], [WEB], False),
        (Connection(17, ip_address("2001:db8::9"), 5001, PUBLIC, forwarded=False, answered=False), [], [GAME], False),
    ],
)
def test_what_was_forwarded_by_a_rule_goes_with_it(
    connection: Connection, gone: list[Forwarded], come: list[Forwarded], expected: bool
) -> None:
    assert outdated(connection, gone, come) == expected
