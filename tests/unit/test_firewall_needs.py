"""What a kernel lacks is told with the lines that ask for it."""

from __future__ import annotations

import pytest

from pvenetd.firewall.needs import abilities, lacks, names
from pvenetd.firewall.syntax import parse_cluster, parse_guest, parse_host

CLUSTER = parse_cluster(
    "[OPTIONS]\nenable: 1\n[RULES]\nIN REJECT -log nolog\n[group grp]\nIN REJECT\nOUT REJECT -log err\n"
)
HOST = parse_host("[OPTIONS]\nnosmurfs: 1\nnf_conntrack_helpers: ftp,sip\nlog_level_in: info\n[RULES]\nIN REJECT\n")
GUEST = parse_guest(
    "[OPTIONS]\npolicy_in: REJECT\nips: 1\nlog_level_out: nolog\n[RULES]\n"
    "|IN REJECT\nOUT REJECT\nIN SSH(REJECT) -log info\n",
    "100.fw",
)
OTHER = parse_guest("[OPTIONS]\nenable: 1\nips: 0\n[RULES]\nIN DROP\n", "101.fw")


@pytest.mark.parametrize(
    ("ability", "lines"),
    [
        ("answers", ["cluster.fw:6", "100.fw:2", "100.fw:8"]),
        ("queue", ["100.fw:3"]),
        ("log", ["cluster.fw:7", "host.fw:4", "100.fw:8"]),
        ("fib", ["host.fw:2"]),
        ("helper ftp tcp", ["host.fw:3"]),
        ("helper tftp udp", []),
        ("conntrack", []),
        ("bridge", []),
    ],
)
def test_the_lines_that_ask_for_what_is_lacking_are_named(ability: str, lines: list[str]) -> None:
    (found,) = lacks([ability], [CLUSTER, HOST, GUEST, OTHER])
    assert names(found) == lines
    assert {one.severity for one in found.lines} <= {"warning"}
    assert all(found.modules in one.message and found.means in one.message for one in found.lines)


def test_helpers_are_asked_for_only_where_the_file_names_them() -> None:
    assert abilities("ct", [HOST])[-2:] == ["helper ftp tcp", "helper sip udp"]
    assert not [one for one in abilities("mark", [OTHER]) if one.startswith("helper")]
    assert abilities("iptables", [HOST]) == ["bridge"], "the rest is iptables' own"
