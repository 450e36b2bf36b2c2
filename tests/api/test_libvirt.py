"""libvirt's hook and events, and its domains wired to us: a daemon on a fake machine, pvenetctl as the hook runs it."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from pvenetd.api.peer import listening
from pvenetd.ctl.commands import hook as hook_commands
from pvenetd.ctl.main import main
from pvenetd.drivers.fake import Fake
from pvenetd.guests.wiring import IFUP, SPACE
from pvenetd.kinds.tap import Tap
from pvenetd.resource import Resource
from pvenetd.sources.libvirt import Libvirt
from tests.api.server import OURS, Api, fake, served
from tests.patience import PATIENCE

UUID = "6d0b3c9a-52f4-4c5e-9d7e-0123456789ab"
MAC = "52:54:00:00:53:01"


def domain(*interfaces: str, name: str = "db-200", meta: str = "", uuid: str = UUID) -> str:
    """Return a running domain's XML."""
    told = f'<metadata><p:guest xmlns:p="{SPACE}" {meta}</p:guest></metadata>' if meta else ""
    names = f"<name>{name}</name><uuid>{uuid}</uuid>"
    devices = "\n".join(interfaces)
    return f"<domain type='kvm' id='1'>\n{names}{told}\n<devices>{devices}</devices></domain>"


def nic(inner: str, kind: str = "bridge", mac: str = MAC) -> str:
    source = "<source bridge='vmbr0'/>" if kind == "bridge" else ""
    return f"<interface type='{kind}'><mac address='{mac}'/>{source}{inner}</interface>"


VNET = nic("<target dev='vnet3'/>")
TAP = nic("<target dev='tap200i0'/>")
OWN = nic("<target dev='tap200i0' managed='no'/>", "ethernet")
FILTERED = 'vmid="200"><net index="0" bridge="vmbr0" firewall="1"/>'


class Virt:
    """libvirt, as far as a hook shows it."""

    def __init__(self, api: Api, machine: Fake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
        self.api, self.machine = api, machine
        self._monkeypatch, self._capsys = monkeypatch, capsys

    async def hook(self, operation: str, xml: str, status: int = 0, name: str = "db-200") -> str:
        """Run the hook, which must end with *status* and print nothing; return what it says on standard error."""
        self._monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(xml.encode())))
        words = ["--root", str(self.api.root), "hook", "libvirt-qemu", name, operation, "begin", "-"]
        found = await asyncio.to_thread(main, words)
        out, err = self._capsys.readouterr()
        assert (found, out) == (status, ""), err
        return err

    def port(self, name: str) -> Tap | None:
        found: Resource | None = self.machine.observe().get(("link", name))
        return found if isinstance(found, Tap) else None

    def plugged(self, name: str) -> str:
        found = self.port(name)
        return (found.master or "") if found else "absent"

    @property
    def chains(self) -> set[str]:
        return {key[1] for key in self.machine.observe() if key[0] == "chains" and key[1].startswith("vm:2")}

    @property
    def kept(self) -> list[str]:
        return self.api.files.names("run/pvenetd/domains")


@pytest.fixture
async def virt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> AsyncIterator[Virt]:
    machine = fake()
    async with served(tmp_path, machine) as api:
        await api.data("POST", f"{OURS}/apply")
        yield Virt(api, machine, monkeypatch, capsys)


@pytest.mark.parametrize(("interface", "device"), [(VNET, "vnet3"), (TAP, "tap200i0")])
async def test_a_domain_whose_tap_libvirt_makes(virt: Virt, interface: str, device: str) -> None:
    xml = domain(interface, meta=FILTERED)
    await virt.hook("prepare", xml)
    assert virt.chains == {"vm:200"}, "its chains are there before its tap"
    virt.machine.appear(Tap(name=device, made_here=False, master="vmbr0", altname=""))
    await virt.hook("start", xml)
    tap = virt.port(device)
    assert tap
    assert (tap.owner, tap.made_here, tap.master, tap.up) == ("vm:200", False, "vmbr0", True)
    assert tap.altname == ("tap200i0" if device == "vnet3" else "")
    await virt.hook("started", xml)
    assert virt.kept == [f"{UUID}.xml"]
    virt.machine.vanish(device)
    await virt.hook("stopped", xml)
    await virt.hook("release", xml)
    assert (virt.chains, virt.kept) == (set(), [])
    assert await virt.api.data("GET", f"{OURS}/plan") == []


async def test_a_domain_that_is_to_find_its_tap(virt: Virt) -> None:
    xml = domain(OWN, meta=FILTERED)
    await virt.hook("prepare", xml)
    tap = virt.port("tap200i0")
    assert tap
    assert (tap.owner, tap.made_here, tap.master) == ("vm:200", True, "vmbr0")
    await virt.hook("start", xml)
    await virt.hook("release", xml)
    assert virt.plugged("tap200i0") == "absent"


async def test_a_nic_is_attached_by_its_script_once_it_is_announced(virt: Virt) -> None:
    script = f"<script path='{IFUP}'/>"
    first = nic(f"{script}<target dev='tap200i0'/>", "ethernet")
    both = f'{FILTERED}<net index="1" bridge="vmbr0"/>'
    virt.machine.appear(Tap(name="tap200i0", made_here=False))
    await virt.hook("start", domain(first, meta=FILTERED))
    virt.machine.appear(Tap(name="tap200i1", made_here=False))
    ifup = ["--root", str(virt.api.root), "hook", "qemu-ifup", "tap200i1"]
    assert await asyncio.to_thread(main, ifup) == 1, "nobody has said what it is to be plugged into"
    virt._capsys.readouterr()
    await virt.api.daemon.domains.seen(UUID, domain(first, meta=both), virt.api.daemon.domains.mark(UUID))
    assert await asyncio.to_thread(main, ifup) == 0
    assert virt.plugged("tap200i1") == "vmbr0"


async def test_a_domain_that_is_not_ours_is_let_alone(virt: Virt) -> None:
    xml = domain(VNET, name="builder")
    virt.machine.appear(Tap(name="vnet3", made_here=False, master="vmbr0", owner=""))
    assert (await virt.api.data("GET", f"{OURS}/firewall/status"))["stopped"] == ["vnet3"]
    for operation in ("prepare", "start", "started", "stopped", "release", "reconnect", "migrate", "restore", "attach"):
        await virt.hook(operation, xml, name="builder")
        stopped = (await virt.api.data("GET", f"{OURS}/firewall/status"))["stopped"]
        assert stopped == (["vnet3"] if operation == "release" else []), operation
    await virt.hook("start", "<domain", name="builder")
    tap = virt.port("vnet3")
    assert tap
    assert (tap.owner, virt.kept) == ("", [])


@pytest.mark.parametrize(
    ("xml", "reason"),
    [
        (domain(TAP, meta='vmid="200"><net index="0" tag="5000"/>'), "tag: '5000': Input should be less than or equal"),
        (domain(nic("<vlan><tag id='4095'/></vlan><target dev='tap200i0'/>")), "tag: '4095': Input should be less"),
        (domain(TAP, meta='vmid="200"><net index="0" bridge="vmbr9"/>'), "bridge: there is no bridge 'vmbr9'"),
        (domain(TAP, meta='vmid="20"><net index="0"/>'), "vmid: '20' should be 100 to 999999999"),
        (domain(nic("<target dev='tap100i0'/>"), meta=FILTERED), "'tap100i0' is net0 of guest 100"),
    ],
)
async def test_a_start_is_refused_with_the_reason(virt: Virt, xml: str, reason: str) -> None:
    virt.machine.appear(Tap(name="tap200i0", made_here=False))
    assert reason in await virt.hook("start", xml, 1)
    assert virt.plugged("tap200i0") == ""


async def test_broken_rules_refuse_a_start_and_keep_a_guest_that_had_them(virt: Virt) -> None:
    xml = domain(TAP, meta=FILTERED)
    virt.api.files.write("etc/pvenetd/firewall/200.fw", b"[OPTIONS]\nenable: 1\n[RULES]\nIN ACCEPT -dport 99999\n")
    virt.machine.appear(Tap(name="tap200i0", made_here=False))
    assert "200.fw:4" in await virt.hook("start", xml, 1)
    assert virt.plugged("tap200i0") == ""
    virt.api.files.write("etc/pvenetd/firewall/200.fw", b"[OPTIONS]\nenable: 1\n")
    await virt.hook("start", xml)
    virt.api.files.write("etc/pvenetd/firewall/200.fw", b"[RULES]\nIN ACCEPT -dport 99999\n")
    await virt.hook("start", xml)
    assert virt.plugged("tap200i0") == "vmbr0"


async def test_what_is_found_again_is_never_refused(virt: Virt) -> None:
    virt.machine.appear(Tap(name="tap200i0", made_here=False, master="vmbr0"))
    xml = domain(TAP, meta='vmid="200"><net index="0" tag="5000"/>')
    await virt.hook("reconnect", xml)
    assert "no element found" in await virt.hook("reconnect", f"<domain>{TAP}")
    await virt.hook("reconnect", domain(TAP))
    tap = virt.port("tap200i0")
    assert tap
    assert tap.owner == "vm:200"


async def test_libvirt_is_let_to_put_its_taps_into_their_bridge(virt: Virt) -> None:
    await virt.hook("prepare", domain(TAP, meta='vmid="200"><net index="1" bridge="vmbr0"/>'))
    for device in ("tap200i0", "tap200i1"):
        virt.machine.appear(Tap(name=device, made_here=False))
        await virt.api.daemon.noticed()
        assert virt.plugged(device) == "", "libvirt fails where the tap is in a bridge already"
        virt.machine.meddle(device, master="vmbr0")
        await virt.api.daemon.noticed()
        tap = virt.port(device)
        assert tap
        assert tap.owner == "vm:200"


async def test_two_domains_with_one_vmid(virt: Virt) -> None:
    virt.machine.appear(Tap(name="tap200i0", made_here=False))
    await virt.hook("start", domain(TAP))
    other = domain(VNET, name="copy-200", uuid=UUID.replace("a", "b"))
    assert "200 is a guest already, by libvirt:db-200" in await virt.hook("prepare", other, 1)
    await virt.hook("release", other)
    assert virt.plugged("tap200i0") == "vmbr0"


async def test_a_domain_whose_end_was_not_told_gives_its_vmid_away(virt: Virt) -> None:
    virt.machine.appear(Tap(name="tap200i0", made_here=False))
    await virt.hook("start", domain(TAP))
    virt.machine.vanish("tap200i0")
    await virt.api.daemon.noticed()
    other = UUID.replace("a", "b")
    await virt.hook("prepare", domain(VNET, name="copy-200", uuid=other))
    assert virt.kept == [f"{other}.xml"]


async def test_events_and_hooks_end_the_same_in_any_order(virt: Virt) -> None:
    xml = domain(TAP, meta=FILTERED)
    domains = virt.api.daemon.domains
    virt.machine.appear(Tap(name="tap200i0", made_here=False))
    early = domains.mark(UUID)
    await virt.hook("start", xml)
    assert not await domains.seen(UUID, None, early), "what was seen before the hook told is out of date"
    assert virt.plugged("tap200i0") == "vmbr0"
    assert domains.running() == {UUID}
    for _ in range(2):
        assert await domains.seen(UUID, xml, domains.mark(UUID))
    virt.machine.vanish("tap200i0")
    for _ in range(2):
        assert await domains.seen(UUID, None, domains.mark(UUID))
    assert (virt.chains, virt.kept) == (set(), [])


@pytest.mark.parametrize(
    ("operation", "xml", "status"),
    [
        ("prepare", domain(TAP), 1),
        ("start", domain(VNET, meta=FILTERED), 1),
        ("start", domain(VNET), 0),
        ("started", domain(TAP), 0),
        ("release", domain(TAP), 0),
        ("reconnect", domain(TAP), 0),
    ],
)
def test_without_a_daemon_what_names_pvenetd_does_not_start(
    operation: str,
    xml: str,
    status: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(hook_commands, "HOOK_SECONDS", 0.3)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(xml.encode())))
    assert main(["--root", str(tmp_path), "hook", "libvirt-qemu", "db-200", operation, "begin", "-"]) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert "pvenetd is not running" in err
    assert ("waited for it for 0.3 s" in err) == bool(status)


async def test_a_start_waits_for_a_daemon_that_is_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(domain(TAP).encode())))
    words = ["--root", str(tmp_path), "hook", "libvirt-qemu", "db-200", "prepare", "begin", "-"]
    waiting = asyncio.create_task(asyncio.to_thread(main, words))
    with listening(tmp_path / "early/api.sock"):
        machine = fake()
        async with served(tmp_path, machine):
            assert await waiting == 0
    assert capsys.readouterr() == ("", "")


# adopt

HARDWARE = "<memory>1024</memory><os><type>hvm</type></os>"
NODE = f"""<node>
<domain type='test'><name>web</name>{HARDWARE}<devices>{nic("<vlan><tag id='20'/></vlan>")}</devices></domain>
<domain type='test'><name>db-300</name>{HARDWARE}</domain>
</node>"""


@pytest.fixture
async def hypervisor(virt: Virt) -> AsyncIterator[Libvirt]:
    node = virt.api.root / "node.xml"
    node.write_text(NODE)
    source = Libvirt(f"test://{node}", virt.api.daemon.domains)
    virt.api.daemon.domains.hypervisor = source
    task = asyncio.create_task(source.run())
    async with asyncio.timeout(PATIENCE):
        while 300 not in [one["vmid"] for one in await virt.api.data("GET", f"{OURS}/vms")]:
            pass  # each question takes its time
    yield source
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def adopted(virt: Virt, words: str, status: int = 0) -> str:
    found = await asyncio.to_thread(main, ["--root", str(virt.api.root), "vm", "adopt", *words.split()])
    out, err = virt._capsys.readouterr()
    assert found == status, err
    return out or err


async def test_adopt_shows_what_it_has_changed(virt: Virt, hypervisor: Libvirt) -> None:
    shown = await adopted(virt, "web --vmid 200")
    assert shown.startswith("--- web before\n+++ web now\n")
    assert f"+      <script path='{IFUP}'/>\n" in shown
    assert shown.endswith("guest 200 (it runs: in effect at its next start)\n")
    xml, _ = await hypervisor.xml("web")
    assert "<target dev='tap200i0'/>" in xml
    assert '<pvenetd:net index="0" bridge="vmbr0" tag="20"/>' in xml
    assert await adopted(virt, "web") == "nothing to do: it is wired to pvenetd, as guest 200\n"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("web", "nothing tells the VMID of domain web: say which it is to have (--vmid 101 is free)"),
        ("web --vmid 100", "VMID 100 is taken by /etc/pvenetd/qemu-server/100.conf"),
        ("web --vmid 300", "VMID 300 is taken by domain db-300"),
        ("mail --vmid 200", "libvirt has no domain mail"),
    ],
)
async def test_adopt_refuses(virt: Virt, hypervisor: Libvirt, words: str, reason: str) -> None:
    before = await hypervisor.domains()
    assert await adopted(virt, words, 1) == f"{reason}\n"
    assert await hypervisor.domains() == before


async def test_adopt_without_libvirt_says_why(virt: Virt) -> None:
    assert await adopted(virt, "web", 1) == "libvirt is not followed: off\n"


async def test_events_of_a_hypervisor_bring_its_guests(virt: Virt, hypervisor: Libvirt) -> None:
    del hypervisor
    assert (await virt.api.data("GET", f"{OURS}/status"))["libvirt"].startswith("connected to test://")
    assert (await virt.api.data("GET", f"{OURS}/vms/300"))["name"] == "db-300"


async def changed(virt: Virt, words: str, status: int = 0) -> str:
    found = await asyncio.to_thread(main, ["--root", str(virt.api.root), "vm", "set", *words.split()])
    out, err = virt._capsys.readouterr()
    assert found == status, err
    return out or err


async def test_a_nics_string_is_changed_in_the_metadata(virt: Virt, hypervisor: Libvirt) -> None:
    virt.machine.appear(Tap(name="tap300i0", made_here=False, owner="vm:300"))
    said = f'<pvenetd:net index="0" mac="{MAC}" bridge="vmbr0"/>'
    assert "master=vmbr0" in await changed(virt, f"300 net0=virtio={MAC},bridge=vmbr0")
    assert virt.plugged("tap300i0") == "vmbr0"
    assert said in (await hypervisor.xml("db-300"))[0]
    assert "there is no bridge 'vmbr9'" in await changed(virt, f"300 net0=virtio={MAC},bridge=vmbr9", 1)
    assert "tag: '5000'" in await changed(virt, f"300 net0=virtio={MAC},bridge=vmbr0,tag=5000", 1)
    assert said in (await hypervisor.xml("db-300"))[0]
    assert virt.plugged("tap300i0") == "vmbr0"
    virt.machine.vanish("tap300i0")
    await changed(virt, "300 --delete net0")
    assert "pvenetd:net" not in (await hypervisor.xml("db-300"))[0]
