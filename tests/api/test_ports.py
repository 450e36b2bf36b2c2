"""Ports, counters and health, as the API and pvenetctl tell them."""

from __future__ import annotations

from tests.api.server import OURS, Api


async def test_ports_are_told_with_their_guests(api: Api) -> None:
    await api.data("POST", f"{OURS}/apply")
    await api.data("POST", f"{OURS}/vms/100/plug")
    ports = {one["name"]: one for one in await api.data("GET", f"{OURS}/ports")}
    assert ports["tap100i0"]["master"] == "vmbr0"
    assert ports["tap100i0"]["guest"] == {"vmid": 100, "name": "web", "nic": "net0", "filtered": 1}
    assert await api.data("GET", f"{OURS}/fdb?bridge=vmbr0") == []
    assert (await api.ask("GET", f"{OURS}/fdb?bridge=vmbr9"))[0] == 404
    counters = await api.data("GET", f"{OURS}/firewall/counters?vmid=100")
    assert "100.fw:4" in {one["origin"] for one in counters}
    assert counters[0].keys() == {"vmid", "chain", "origin", "packets", "bytes"}


async def test_what_is_broken_makes_the_host_degraded(api: Api) -> None:
    await api.data("POST", f"{OURS}/apply")
    assert await api.data("GET", f"{OURS}/health") == {"status": "ok", "reasons": []}
    api.files.write("etc/pvenetd/firewall/100.fw", b"[RULES]\nIN PERHAPS\n")
    await api.data("POST", f"{OURS}/firewall/apply")
    found = await api.data("GET", f"{OURS}/health")
    assert found["status"] == "degraded"
    assert any(reason.startswith("vm:100: /etc/pvenetd/firewall/100.fw:2:") for reason in found["reasons"])
    assert (await api.data("GET", f"{OURS}/status"))["health"] == found
