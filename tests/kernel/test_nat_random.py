"""Whatever NAT can be written, the kernel takes: and has then what was wanted."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from pvenetd.compile import compile_interfaces
from pvenetd.drivers.nft import Library, Nftables
from pvenetd.firewall import nft
from pvenetd.firewall.nft_base import Design
from pvenetd.interfaces.config import single
from pvenetd.interfaces.syntax import parse
from pvenetd.nat.flows import forwarded
from pvenetd.plan import plan
from pvenetd.state import Chains
from tests.kernel.firewall import DESIGNS, STANZAS

IFACES = st.sampled_from(["vmbr0", "vmbr1", "eth0.5", "wg-0", "a@b"])
V4 = st.ip_addresses(v=4, network="198.51.100.0/24").map(str)
V6 = st.ip_addresses(v=6, network="2001:db8:1::/64").map(str)
PORT = st.integers(1, 65535)
RANGE = st.tuples(PORT, PORT).map(lambda ends: "{}-{}".format(*sorted(ends)))
PORTS = st.lists(PORT.map(str) | RANGE, min_size=1, max_size=4).map(",".join)
PROTOCOLS = st.lists(st.sampled_from(["tcp", "udp", "sctp"]), min_size=1, unique=True).map(",".join)


@st.composite
def forwards(draw: st.DrawFn) -> str:
    family, before, behind = draw(st.sampled_from([(V4, "", ""), (V6, "[", "]")]))
    ports, to = draw(PORTS), draw(family)
    if draw(st.booleans()):
        ports = f"{before}{draw(family)}{behind}:{ports}"
    if draw(st.booleans()):
        count = draw(st.integers(1, 9))
        first, other = draw(st.tuples(st.integers(1, 65000), st.integers(1, 65000)))
        end = f"{before}{to}{behind}:{other}-{other + count - 1}"
        return f"nat-forward {draw(PROTOCOLS)} {first}-{first + count - 1} {end}"
    way = f" in {draw(IFACES)}" if draw(st.booleans()) else ""
    return f"nat-forward {draw(PROTOCOLS)} {ports} {to}{way}"


LINES = st.one_of(
    IFACES.map("nat-masquerade {}".format),
    st.tuples(IFACES, V4 | V6).map(lambda said: "nat-snat {} {}".format(*said)),
    st.tuples(IFACES, st.integers(1, 99), st.integers(100, 254)).map(
        lambda said: "nat-snat {} 192.0.2.{}-192.0.2.{}".format(*said)
    ),
    st.tuples(IFACES, V4, V4).map(lambda said: "nat-one-to-one {} {} {}".format(*said)),
    st.tuples(IFACES, V6, V6).map(lambda said: "nat-one-to-one {} {} {}".format(*said)),
    st.tuples(V4, IFACES, V4).map(
        lambda said: "post-up iptables -t nat -A PREROUTING -d {} -i {} -j DNAT --to {}".format(*said)
    ),
    forwards(),
)


@pytest.mark.usefixtures("host")
@pytest.mark.parametrize("design", DESIGNS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(LINES, min_size=1, max_size=8))
def test_the_kernel_takes_whatever_can_be_written(lines: list[str], design: Design) -> None:
    """… and put back from its own listing, it is so again, with the same forwards."""
    text = STANZAS + "".join(f"\t{line}\n" for line in lines)
    compiled = compile_interfaces(single(parse(text, "interfaces")), ["eth0"], design)
    assume(not compiled.errors)  # told of, which is another test's
    wanted = {key: one for key, one in compiled.state.items() if isinstance(one, Chains)}
    driver = Nftables()
    for op in plan(wanted, driver.observe()):
        driver.apply(op)
    listed = Nftables().observe()
    assert plan(wanted, listed) == ()
    assert forwarded(listed["chains", "nat"].text) == forwarded(wanted["chains", "nat"].text)
    Library().run(nft.render(listed.values()))
    assert plan(wanted, driver.observe()) == ()
