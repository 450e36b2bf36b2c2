"""Guests' NICs are changed by the API and by pvenetctl: checked first, live, and taken back where that fails."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from pvenetd.ctl.main import main
from pvenetd.errors import KernelError
from pvenetd.kinds.link import Link
from tests.api.server import GUEST, NODE, OURS, Api

CONF = "etc/pvenetd/qemu-server/100.conf"
CONFIG = f"{NODE}/qemu/100/config"
MAC = "02:00:5E:00:53:01"
TAP = ("link", "tap100i0")
SNAPSHOT = "# ask ops\nmemory: 128\n\n[before]\nnet0: virtio,bridge=vmbr9\n"


def form(**values: str) -> list[str]:
    return [word for key, value in values.items() for word in ("--data-urlencode", f"{key}={value}")]


async def link(api: Api, name: str = "tap100i0") -> Any:
    return (await api.daemon.engine.look([("link", name)])).get(("link", name))


@pytest.fixture
async def plugged(api: Api) -> Api:
    """A running guest, with a snapshot in its file."""
    api.files.write(CONF, (GUEST + SNAPSHOT).encode())
    await api.data("PUT", f"{NODE}/network")
    await api.data("POST", f"{OURS}/vms/100/plug")
    return api


async def test_a_nic_is_changed_as_by_proxmox_ves_clients_live_and_in_its_line_alone(plugged: Api) -> None:
    before = await plugged.data("GET", CONFIG)
    change = form(net0=f"virtio={MAC},bridge=vmbr0,firewall=1,link_down=1", digest=before["digest"])
    assert await plugged.data("PUT", CONFIG, *change) is None
    assert plugged.files.read(CONF) == (GUEST.replace("firewall=1", "firewall=1,link_down=1") + SNAPSHOT).encode()
    assert (await link(plugged)).up is False
    status, body = await plugged.ask("PUT", CONFIG, *change)
    assert (status, "read it again" in body["message"]) == (409, True)
    upid = await plugged.data("POST", CONFIG, *form(net1=f"e1000={MAC},bridge=vmbr0"))
    assert (await plugged.data("GET", f"{NODE}/tasks/{upid}/status"))["exitstatus"] == "OK"
    assert (await plugged.data("GET", CONFIG))["net1"] == f"e1000={MAC},bridge=vmbr0"
    assert (await plugged.data("GET", f"{NODE}/qemu/100/status/current"))["status"] == "running"


async def test_set_and_unset_leaves_the_same_bytes_and_nothing_plugged(plugged: Api) -> None:
    before = plugged.files.read(CONF)
    await plugged.data("PUT", CONFIG, *form(net1=f"virtio={MAC},bridge=vmbr0"))
    assert plugged.files.read(CONF) != before
    await plugged.data("POST", f"{OURS}/vms/100/plug", *form(nic="net1"))
    assert await link(plugged, "tap100i1")
    await plugged.data("PUT", CONFIG, *form(delete="net1"))
    assert plugged.files.read(CONF) == before
    assert await link(plugged, "tap100i1") is None
    assert (await link(plugged)).master == "vmbr0"


async def test_a_nic_keeps_its_mac_and_a_new_one_gets_one(plugged: Api) -> None:
    await plugged.data("PUT", CONFIG, *form(net0="virtio,bridge=vmbr0", net1="model=e1000,bridge=vmbr0"))
    text = (plugged.files.read(CONF) or b"").decode()
    assert f"net0: virtio={MAC},bridge=vmbr0\n" in text
    made = re.search("^net1: e1000=(([0-9A-F]{2}:){5}[0-9A-F]{2}),bridge=vmbr0$", text, re.MULTILINE)
    assert made
    assert int(made[1][:2], 16) & 3 == 2, "of one device, locally administered"


@pytest.mark.parametrize(
    ("values", "errors"),
    [
        ({"net0": "virtio,bridge=vmbr0,tag=5000"}, {"net0": "tag: '5000'"}),
        ({"net0": "virtio,tagg=5", "net1": "tulip"}, {"net0": "unknown key 'tagg'", "net1": "model: 'tulip'"}),
        ({"net0": f"virtio={MAC},bridge=vmbr9"}, {"net0": "there is no bridge 'vmbr9'"}),
        ({"net0": f"virtio={MAC},bridge=vmbr0,trunks=5"}, {"net0": "trunks"}),
        ({"net32": "virtio"}, {"net32": "net0 to net31"}),
        ({"memory": "5"}, {"memory": "net0 to net31"}),
        ({"net0": "virtio,bridge=vmbr0\nmemory: 5"}, {"net0": "control"}),
        ({"net0": "virtio,bridge=vmbr0\n"}, {"net0": "control"}),
        ({"delete": "name"}, {"name": "net0 to net31"}),
        ({"net0": "virtio", "delete": "net0"}, {"net0": "dropped"}),
        ({}, {"net0": "missing"}),
    ],
)
async def test_what_is_wrong_is_told_by_key_and_nothing_is_written(
    plugged: Api, values: dict[str, str], errors: dict[str, str]
) -> None:
    before = plugged.files.read(CONF), await link(plugged)
    status, body = await plugged.ask("PUT", CONFIG, *form(**values))
    assert (status, body["errors"].keys()) == (400, errors.keys())
    assert all(text in body["errors"][key] for key, text in errors.items()), body
    assert (plugged.files.read(CONF), await link(plugged)) == before


async def test_what_was_wrong_before_keeps_nobody_from_mending_the_rest(plugged: Api) -> None:
    plugged.files.write(CONF, b"net0: tulip\nnet1: virtio,tag=5000\n")
    await plugged.data("PUT", CONFIG, *form(net0=f"virtio={MAC},bridge=vmbr0"))
    assert plugged.files.read(CONF) == f"net0: virtio={MAC},bridge=vmbr0\nnet1: virtio,tag=5000\n".encode()


async def test_a_machine_that_refuses_has_the_file_back(plugged: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    before = plugged.files.read(CONF), await link(plugged)
    machine = plugged.daemon.engine._machine
    real = machine.apply

    def refuse(*ops: Any) -> None:
        if any(isinstance(op.resource, Link) and not op.resource.up for op in ops):
            raise KernelError(str(ops[0]), 16, "Device or resource busy")
        real(*ops)

    monkeypatch.setattr(machine, "apply", refuse)
    status, body = await plugged.ask("PUT", CONFIG, *form(net0=f"virtio={MAC},bridge=vmbr0,link_down=1"))
    assert status == 500
    assert body["message"].endswith("(errno 16)\nrolled back: the host is as it was")
    assert (plugged.files.read(CONF), await link(plugged)) == before


async def test_pvenetctl_sets_and_deletes(plugged: Api, capsys: pytest.CaptureFixture[str]) -> None:
    async def ctl(*words: str) -> tuple[int, str, str]:
        try:
            status = await asyncio.to_thread(main, ["--root", str(plugged.root), "vm", "set", *words])
        except SystemExit as usage:
            status = int(usage.code or 0)
        return status, *capsys.readouterr()

    change = f"net0=virtio={MAC},bridge=vmbr0,firewall=1,link_down=1"
    assert await ctl("100", change) == (0, "~ link tap100i0 up=no  # /etc/pvenetd/qemu-server/100.conf:2\n", "")
    assert await ctl("100", change) == (0, "nothing to do\n", "")
    status, out, _ = await ctl("100", f"net1=virtio={MAC},bridge=vmbr0", "--delete", "net0")
    assert (status, "- link tap100i0" in out) == (0, True)
    status, _, err = await ctl("100", "net1=virtio,tag=0")
    assert (status, err.startswith("net1: tag: '0'")) == (1, True)
    status, _, err = await ctl("101", "net1=virtio")
    assert (status, err.startswith("no guest 101")) == (1, True)
    for words in (["100"], ["100", "net1"], ["100", "net1=a", "net1=b"]):
        assert (await ctl(*words))[0] == 2


async def test_proxmox_ves_hookscript_refuses_a_start_that_could_not_be_plugged(plugged: Api) -> None:
    async def hook(phase: str, vmid: int = 100) -> int:
        return (await plugged.ask("POST", f"{OURS}/hook/pve", *form(vmid=str(vmid), phase=phase)))[0]

    await plugged.data("POST", f"{OURS}/vms/100/unplug")
    for _ in range(2):
        for phase in ("pre-start", "post-start", "pre-stop", "post-stop"):
            assert await hook(phase) == 200
    assert ("chains", "vm:100") in await plugged.daemon.engine.observe()
    plugged.files.write(CONF, f"net0: virtio={MAC},bridge=vmbr9\n".encode())
    assert await hook("pre-start") == 400
    assert await hook("pre-start", 101) == 404
    assert await hook("pause") == 400


async def test_a_containers_nic_is_changed_in_its_own_file(api: Api) -> None:
    text = "hostname: db\nlxc.cap.drop: mac_admin\nnet0: name=eth0,bridge=vmbr0\n"
    api.files.write("etc/pvenetd/lxc/200.conf", text.encode())
    path = f"{NODE}/lxc/200/config"
    await api.data("PUT", path, *form(net0=f"name=eth0,hwaddr={MAC},bridge=vmbr0,ip=192.0.2.7/24"))
    assert (await api.data("GET", path))["net0"] == f"name=eth0,bridge=vmbr0,hwaddr={MAC},ip=192.0.2.7/24"
    status, body = await api.ask("PUT", path, *form(net0="bridge=vmbr0"))
    assert (status, "no name" in body["errors"]["net0"]) == (400, True)
    await api.data("PUT", path, *form(net0="name=eth0,bridge=vmbr0"))
    expected = text.replace("bridge=vmbr0", f"bridge=vmbr0,hwaddr={MAC}")
    assert api.files.read("etc/pvenetd/lxc/200.conf") == expected.encode()


async def test_a_domain_is_not_changed_without_libvirt(api: Api) -> None:
    xml = """<domain type='kvm'><name>vm-300</name><uuid>00000000-0000-4000-8000-000000000300</uuid><devices>
    <interface type='bridge'><mac address='02:00:5e:00:53:03'/><source bridge='vmbr0'/></interface>
    </devices></domain>"""
    await api.daemon.guests.define(xml)
    status, body = await api.ask("PUT", f"{NODE}/qemu/300/config", *form(net0="rtl8139,bridge=vmbr0,firewall=1"))
    assert (status, body["message"]) == (503, "libvirt is not followed: off")
