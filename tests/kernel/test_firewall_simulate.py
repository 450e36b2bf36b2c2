"""The corpus asked of ``pvenetctl firewall simulate`` itself: files below a root, in their host's namespace."""

from __future__ import annotations

import json
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from pvenetd.ctl.main import main
from tests.kernel.firewall import STANZAS, UNFILTERED, have_bridge_netfilter, sections
from tests.kernel.lines import Line, parse
from tests.kernel.world import GUESTS, STATIONS, World, inside, world

CASES = Path(__file__).parent.parent / "packets"


@pytest.fixture(scope="module")
def host() -> Iterator[World]:
    """A world with br_netfilter, as this kernel has no other way to know a bridged packet's connection."""
    have_bridge_netfilter()
    with world(bridge_nf=True) as made:
        yield made


def written(root: Path, files: dict[str, str]) -> None:
    """Write the files of a case, and guests' definitions, below *root*."""
    nat = "".join(
        f"\t{'post-up ' if line.startswith('ip') else ''}{line}\n" for line in files.get("nat", "").splitlines()
    )
    texts = {"network/interfaces": STANZAS.replace("\tbridge-ports none\n", "\tbridge-ports eth0\n", 1) + nat}
    texts |= {f"pvenetd/firewall/{name}": text for name, text in files.items() if name.endswith(".fw")}
    for vmid in GUESTS:
        nics = [one for one in STATIONS.values() if one.zone.split("/")[:2] == ["vm", str(vmid)]]
        texts[f"pvenetd/qemu-server/{vmid}.conf"] = "".join(
            f"net{one.port[-1]}: virtio={one.mac},bridge={one.bridge},firewall={int(vmid != UNFILTERED)}\n"
            for one in nics
        )
    for name, text in texts.items():
        (root / "etc" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "etc" / name).write_text(text)


def words(line: Line, made: World) -> list[str]:
    """Return how the packet of *line* is asked about."""
    ends = {
        name: line.options.get(name)
        or (made.host_address(other, line.version) if zone == "host" else made.address(zone, line.version))
        for name, zone, other in (("source", line.source, line.dest), ("dest", line.dest, line.source))
    }
    found = ["--from", line.source, "--to", line.options.get("reaches", line.dest), "--proto", line.proto]
    found += ["--source", ends["source"], "--dest", ends["dest"], "--dport", str(line.port)]
    return [*found, *(["--sport", line.options["sport"]] if "sport" in line.options else [])]


@pytest.mark.netns
@pytest.mark.parametrize("case", ["guest", "host", "closed", "groups", "forwards", "nics", "routed", "bridge"])
def test_pvenetctl_tells_what_the_kernel_does(
    case: str, host: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = sections((CASES / f"{case}.txt").read_text())
    written(tmp_path, files)
    told = []
    lines = [line for line in parse(files["packets"]) if line.proto[:3] in ("tcp", "udp") and line.state == "new"]
    # Whose port an address is behind that a forward leads to, the files do not tell where there are several.
    lines = [line for line in lines if "nat" not in files or line.dest != "host" or "reaches" in line.options]
    with inside(host.names["host"]):
        for line in lines[::3]:  # each is a process's work; all of them are asked of the simulator elsewhere
            assert main(["--root", str(tmp_path), "--json", "firewall", "simulate", *words(line, host)]) == 0
            found = json.loads(capsys.readouterr().out)
            assert ip_address(found["packet"]["source"])
            if found["verdict"] != line.verdict:
                told.append(f"{line}: {found}")
    assert not told, "\n".join(told)
