"""`/metrics`, for Prometheus; python3-prometheus-client is imported when somebody asks, and not before."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from pvenetd import __version__
from pvenetd.api.page import Page
from pvenetd.daemon.counts import BOUNDS, Counts, Durations
from pvenetd.daemon.daemon import Daemon
from pvenetd.daemon.overview import StatusRecord
from pvenetd.daemon.ports import PortRecord
from pvenetd.errors import Unavailable

if TYPE_CHECKING:
    from prometheus_client import Metric

PATH = "/metrics"
_LABELS = ["port", "bridge", "vmid", "nic"]
_COUNTED = ("rx_bytes", "tx_bytes", "rx_packets", "tx_packets", "rx_dropped", "tx_dropped", "rx_errors", "tx_errors")


async def metrics(daemon: Daemon) -> Page:
    """Return what there is and what was done, in Prometheus' text format.  Raises `Unavailable`, `PvenetError`."""
    status = await daemon.status()
    ports = await daemon.ports.records() if daemon.settings.api.port_metrics else ()
    return await asyncio.to_thread(_page, status, ports, daemon.counts)


def _page(status: StatusRecord, ports: Sequence[PortRecord], counts: Counts) -> Page:
    try:
        from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
        from prometheus_client.registry import Collector
    except ImportError:
        raise Unavailable("/metrics needs python3-prometheus-client") from None

    class Now(Collector):
        def collect(self) -> Iterator[Metric]:
            yield from _host(status)
            yield from _ports(ports)
            yield from _done(counts)

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Now())
    return Page(CONTENT_TYPE_LATEST, generate_latest(registry))


def _host(status: StatusRecord) -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily as Gauge

    nics = [nic for guest in status["guests"] for nic in guest["nics"]]
    info = Gauge("pvenetd_info", "The version.", labels=["version"])
    info.add_metric([__version__], 1)
    yield info
    interfaces, firewall = status["interfaces"], status["firewall"]
    for name, text, value in (
        ("healthy", "Whether all is well.", int(status["health"]["status"] == "ok")),
        ("staged", "Whether an edit waits to be applied.", interfaces["staged"]),
        ("plan_operations", "Operations that an apply would run.", interfaces.get("plan", 0)),
        ("drift_operations", "Operations back to what was applied last.", interfaces.get("drift", 0)),
        ("firewall_drift", "Pieces of the firewall that are not loaded as the files say.", len(firewall["drift"])),
        ("stopped_ports", "Ports that nobody has announced.", len(firewall["stopped"])),
        ("failed_owners", "Owners whose last change failed.", len(status["errors"])),
        ("bridges", "Bridges.", len(status["bridges"])),
        ("guests", "Guests that are defined or have something.", len(status["guests"])),
        ("guest_nics", "NICs of guests.", len(nics)),
        ("guest_nics_plugged", "NICs of guests that are in their bridge.", sum(nic["plugged"] for nic in nics)),
    ):
        yield Gauge(f"pvenetd_{name}", text, value=value)


def _ports(ports: Sequence[PortRecord]) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily

    for key in _COUNTED:
        found = CounterMetricFamily(f"pvenetd_port_{key}", f"{key} of a link, from the host's side.", labels=_LABELS)
        for port in ports:
            if isinstance(count := port.get(key), int):
                guest = port.get("guest")
                whose = [str(guest["vmid"]), guest["nic"]] if guest else ["", ""]
                found.add_metric([port["name"], port["master"], *whose], count)
        if ports:
            yield found


def _done(counts: Counts) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

    events = CounterMetricFamily("pvenetd_events", "What has happened, by its name.", labels=["event"])
    for event, count in [*counts.events.items()]:
        events.add_metric([event], count)
    yield events
    ops = CounterMetricFamily("pvenetd_operations", "Operations on the kernel.", labels=["verb", "noun"])
    for (verb, noun), count in [*counts.ops.items()]:
        ops.add_metric([{"+": "add", "-": "delete"}.get(verb, "change"), noun], count)
    yield ops
    labels = ["work", "outcome"]
    work = HistogramMetricFamily("pvenetd_work_seconds", "How long plans and changes have taken.", labels=labels)
    for names, one in [*counts.work.items()]:
        work.add_metric(names, _buckets(one), one.total)
    yield work
    labels = ["method", "route", "status"]
    asked = HistogramMetricFamily("pvenetd_request_seconds", "How long requests have taken.", labels=labels)
    for (method, path, status), one in [*counts.requests.items()]:
        asked.add_metric([method, path, str(status)], _buckets(one), one.total)
    yield asked


def _buckets(one: Durations) -> list[tuple[str, float]]:
    return [*zip([*map(str, BOUNDS), "+Inf"], accumulate(one.counts), strict=True)]
