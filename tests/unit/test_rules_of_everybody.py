"""What the cluster's, the host's and bridges' files say to all: names, groups, what is forwarded, settings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pvenetd.drivers.fake import Fake
from pvenetd.kinds.bridge import Bridge
from tests.unit.rules_host import ON, Host, told


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path)
    made.fw("cluster", ON)
    yield made
    made.engine.close()


NAMES = f"{ON}[IPSET web]\n192.0.2.1\n[group ssh]\nIN ACCEPT -p tcp -dport 22\n"
USES = f"{ON}[RULES]\nIN ACCEPT -source +web\nGROUP ssh\n"


@pytest.mark.parametrize(
    ("before", "after", "pieces"),
    [("192.0.2.1", "192.0.2.2", ["sets"]), ("-dport 22", "-dport 2222", ["groups"]), ("[group", "# ssh\n[group", [])],
)
async def test_a_set_or_a_group_that_changes_is_replaced_and_no_guest_is(
    host: Host, before: str, after: str, pieces: list[str]
) -> None:
    host.fw("cluster", NAMES)
    for vmid in (100, 101, 102):
        host.fw(str(vmid), USES)
    assert await host.apply() == {}
    done = told(host.machine)
    host.fw("cluster", NAMES.replace(before, after))
    assert await host.daemon.load_rules() == {}
    found = [str(op.resource.key[1]) for ops in done for op in ops]
    assert [name for name in found if name != "groups" or pieces] == pieces, "a comment may move a group's lines"


async def test_a_name_that_goes_concerns_who_uses_it_alone(host: Host) -> None:
    host.fw("cluster", f"{NAMES}[IPSET mail]\n192.0.2.9\n")
    host.fw("100", USES)
    host.fw("101", f"{ON}[RULES]\nIN ACCEPT -source +mail\n")
    assert await host.apply() == {}
    before = host.chains("vm:101")
    host.fw("cluster", NAMES)
    failed = await host.apply()
    assert list(failed) == ["vm:101"]
    assert "101.fw:4" in failed["vm:101"]
    assert host.chains("vm:101") == before


async def test_a_bridges_file_counts_likewise(host: Host) -> None:
    forward = f"{ON}[RULES]\nFORWARD DROP -p tcp -dport 25\n"
    host.fw("vmbr0", forward)
    host.fw("vmbr1", f"{ON}policy_forward: REJECTED\n")
    assert list(await host.apply()) == ["firewall"]
    before = host.chains("bridge:vmbr0")
    assert "dport 25" in before
    assert "drop" in host.chains("bridge:vmbr1"), "it never was right"
    host.fw("vmbr0", f"{forward}FORWARD DORP\n")
    host.fw("vmbr1", None)
    failed = await host.apply()
    assert "vmbr0.fw:5" in failed["firewall"]
    assert (host.chains("bridge:vmbr0"), host.chains("bridge:vmbr1")) == (before, "")
    await host.reboot()
    assert host.chains("bridge:vmbr0") == before
    host.fw("vmbr0", None)
    assert await host.apply() == {}
    assert host.chains("bridge:vmbr0") == ""


async def test_the_kernels_settings_are_set_and_never_lowered(host: Host) -> None:
    settings = {"nf_conntrack_max": "262144", "nf_conntrack_tcp_timeout_established": "432000"}
    host.machine = Fake([Bridge(name="vmbr0")], [f"net/netfilter/{name}" for name in settings])
    host.start()
    host.fw("host", "[OPTIONS]\nnf_conntrack_max: 300000\nnf_conntrack_tcp_timeout_established: 10000\n")
    assert await host.apply() == {}
    keys = {("sysctl", f"net/netfilter/{name}") for name in settings}
    found = {
        key[1].rpartition("/")[2]: getattr(one, "value", "")
        for key, one in host.machine.observe(keys).items()
        if key in keys
    }
    assert found == {"nf_conntrack_max": "303104", "nf_conntrack_tcp_timeout_established": "10000"}
    host.fw("host", "[OPTIONS]\nnf_conntrack_max: 100000\n")
    assert await host.apply() == {}
    assert getattr(host.machine.observe(keys)["sysctl", "net/netfilter/nf_conntrack_max"], "value", "") == "303104"
