"""`/metrics`, read by Prometheus' own parser."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from tests.api.server import OURS, Api


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
    assert values["pvenetd_port_rx_bytes_total", "tap100i0"] == 0
    plug = "/nodes/{node}/pvenetd/vms/{vmid}/plug"
    assert values["pvenetd_request_seconds_count", *sorted(("POST", plug, "200"))] == 1
    assert values["pvenetd_request_seconds_bucket", *sorted(("+Inf", "POST", plug, "200"))] == 1
    assert values["pvenetd_request_seconds_count", *sorted(("GET", "/nodes/{node}/pvenetd/vms/{vmid}", "404"))] == 1
    assert not [key for key in values if "nowhere" in str(key)]
