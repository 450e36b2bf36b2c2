"""Everything that can be asked, in one table: for the server, for pvenetctl without one, for tests and documents."""

from __future__ import annotations

from pvenetd.api import (
    access,
    cluster,
    containers,
    edits,
    firewall,
    firewall_lists,
    firewall_names,
    firewall_options,
    firewall_rules,
    guest_edits,
    guests,
    host,
    ifupdown,
    libvirt,
    nat,
    network,
    node,
    packet_log,
    ports,
    simulate,
    tasks,
    trace,
)
from pvenetd.api.route import Route

ROUTES: tuple[Route, ...] = (
    *host.routes,
    *node.routes,
    *cluster.routes,
    *access.routes,
    *network.routes,
    *edits.routes,
    *tasks.routes,
    *ifupdown.routes,
    *guests.routes,
    *containers.routes,
    *libvirt.routes,
    *guest_edits.routes,
    *firewall.routes,
    *firewall_rules.routes,
    *firewall_lists.routes,
    *firewall_names.routes,
    *firewall_options.routes,
    *nat.routes,
    *packet_log.routes,
    *ports.routes,
    *trace.routes,
    *simulate.routes,
)
