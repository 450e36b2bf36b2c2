"""All that ip(8) and bridge(8) show of a network namespace, as flat facts that two of them can be compared by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.netns import show

Facts = dict[str, object]
"""``link vmbr0 linkinfo.info_data.ageing_time`` → value."""

OUR_MACS = "02:00:5e:"
"""How the MACs of the NICs begin; the kernel's random ones are anybody's."""

_PASSING = {
    "ifindex", "link_index", "link_netnsid", "operstate", "qdisc", "txqlen", "qlen", "promiscuity", "allmulti",
    "valid_life_time", "num_tx_queues", "num_rx_queues", "permaddr", "hello_timer", "tcn_timer", "gc_timer",
    "topology_change_timer", "topology_change", "topology_change_detected", "hold_timer", "message_age_timer",
    "forward_delay_timer", "root_port", "root_path_cost", "fdb_n_learned", "bridge_id", "root_id", "id", "no",
    "port_no", "port_id", "designated_bridge", "designated_root", "designated_port", "designated_cost", "state",
    "config_pending", "topology_change_ack", "perm_hwaddr", "mii_status", "link_failure_count", "queue_id",
    "ad_info", "ad_aggregator_id", "ad_actor_oper_port_state", "ad_actor_oper_port_state_str", "active_slave",
    "ad_partner_oper_port_state", "ad_partner_oper_port_state_str", "parentbus", "parentdev", "stable", "tso_max_size",
}  # fmt: skip
"""What changes by itself, or follows from the order in which links were made."""
_FLAGS = {"UP", "NOARP", "PROMISC", "ALLMULTI", "MASTER", "SLAVE", "POINTOPOINT"}


def facts() -> Facts:
    """Return what there is."""
    return {**_links(), **_addresses(), **_routes(), **_bridges()}


def _links() -> Facts:
    found: Facts = {}
    for link in show("ip", "-d", "-j", "link"):
        name = link.pop("ifname")
        link["flags"] = sorted(_FLAGS & set(link["flags"]))
        found |= _flat(f"link {name}", link)
        disabled = Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6")
        found[f"link {name} disable_ipv6"] = disabled.read_text().strip() if disabled.exists() else ""
    return found


def _addresses() -> Facts:
    found: Facts = {}
    for link in show("ip", "-d", "-j", "addr"):
        for address in link["addr_info"]:
            if address.get("scope") == "link" and address["family"] == "inet6":
                continue  # it comes with the carrier, a moment later
            text = f"{address.pop('local')}/{address.pop('prefixlen')}"
            address.pop("tentative", None)
            address.pop("protocol", None)  # our mark, which only a newer ip(8) shows
            found |= _flat(f"address {link['ifname']} {text}", address)
    return found


def _routes() -> Facts:
    found: Facts = {}
    for family in ("-4", "-6"):
        for route in show("ip", family, "-d", "-j", "route", "show", "table", "all"):
            if route.get("type") in ("local", "broadcast", "multicast", "anycast") or route["dst"].startswith("fe80"):
                continue
            route["flags"] = [flag for flag in route["flags"] if flag not in ("linkdown", "dead")]
            place = f"route {route.pop('dst')} {route.pop('dev', '-')} {route.get('metric', 0)}"
            found |= _flat(place, route) | {place: True}
    return found


def _bridges() -> Facts:
    found: Facts = {}
    for link in show("bridge", "-j", "-compressvlans", "vlan"):
        found[f"vlan {link['ifname']}"] = ", ".join(map(_spelled, link["vlans"]))
    for entry in show("bridge", "-d", "-j", "fdb"):
        if entry.get("state") == "permanent" and "dst" in entry:
            found[f"fdb {entry['ifname']} {entry['mac']} {entry['dst']}"] = True
    return found


def _spelled(vlan: dict[str, Any]) -> str:
    last = f"-{vlan['vlanEnd']}" if "vlanEnd" in vlan else ""
    return " ".join([f"{vlan['vlan']}{last}", *vlan.get("flags", [])])


def _flat(place: str, value: Any) -> Facts:
    """Return the leaves of a record by the way to them."""
    found: Facts = {}
    for key, one in value.items():
        if key in _PASSING:
            continue
        if isinstance(one, dict):
            found |= _flat(f"{place}{'.' if '.' in place else ' '}{key}", one)
        elif key in ("address", "broadcast") and place.startswith("link") and not str(one).startswith(OUR_MACS):
            continue
        else:
            found[f"{place} {key}"] = str(one)
    return found
