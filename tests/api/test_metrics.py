"""`/metrics`, read by Prometheus' own parser."""

from __future__ import annotations

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from pvenetd.settings import Settings
from tests.api.server import OURS, Api, fake, served


async def test_prometheus_reads_what_there_is_and_what_was_done(api: Api) -> None:
    await api.data("POST", f"{OURS}/apply")
    await api.data("POST", f"{OURS}/vms/100/plug")
    await api.ask("GET", f"{OURS}/vms/999")
    await api.ask("GET", "/api2/json/nowhere")
    text = await api.text("GET", "/metrics", "-i")
    assert "Content-Type: text/plain" in text
    families = {one.name: one for one in text_string_to_metric_families(text.partition("\r\n\r\n")[2])}
    values = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in families.values()
        for sample in family.samples
    }
    assert values["pvenetd_healthy",] == 1
    assert values["pvenetd_guest_nics_plugged",] == 1
    assert values["pvenetd_drift_operations",] == 0
    assert values["pvenetd_operations_total", "add", "link"] >= 2
    assert values["pvenetd_port_rx_bytes_total", *sorted(("tap100i0", "vmbr0", "100", "net0"))] == 0
    for work in ("plan", "plug", "apply"):
        assert values["pvenetd_work_seconds_count", *sorted((work, "done"))] >= 1
        assert values["pvenetd_work_seconds_bucket", *sorted(("+Inf", work, "done"))] >= 1
    plug = "/nodes/{node}/pvenetd/vms/{vmid}/plug"
    assert values["pvenetd_request_seconds_count", *sorted(("POST", plug, "200"))] == 1
    assert values["pvenetd_request_seconds_bucket", *sorted(("+Inf", "POST", plug, "200"))] == 1
    assert values["pvenetd_request_seconds_count", *sorted(("GET", "/nodes/{node}/pvenetd/vms/{vmid}", "404"))] == 1
    assert not [key for key in values if "nowhere" in str(key)]


async def test_ports_are_counted_where_the_settings_say_so(tmp_path: Path) -> None:
    async with served(tmp_path, fake(), Settings()) as api:
        assert "pvenetd_port_" not in await api.text("GET", "/metrics")
