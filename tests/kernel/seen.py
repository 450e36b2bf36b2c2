"""What ip(8) and bridge(8) show of this network namespace: a second opinion on what our own driver reads."""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Iterator
from typing import Any

from tests.netns import run, show

_PASSING = frozenset(
    [
        "ifindex",
        "link_index",
        "address",
        "broadcast",
        "flags",
        "operstate",
        "qdisc",
        "qlen",
        "promiscuity",
        "allmulti",
        "valid_life_time",
        "preferred_life_time",
        "tentative",
        "dadfailed",
        "bridge_id",
        "root_id",
        "hello_timer",
        "tcn_timer",
        "topology_change_timer",
        "gc_timer",
        "fdb_n_learned",
        "topology_change",
        "topology_change_detected",
        "root_port",
        "root_path_cost",
        "id",
        "no",
        "designated_bridge",
        "designated_root",
        "designated_port",
        "designated_cost",
        "hold_timer",
        "message_age_timer",
        "forward_delay_timer",
        "config_pending",
        "topology_change_ack",
        "state",
        "port_no",
        "port_id",
        "perm_hwaddr",
        "permaddr",
        "ad_info",
        "mii_status",
        "link_failure_count",
        "queue_id",
        "ad_aggregator_id",
        "ad_actor_oper_port_state",
        "ad_actor_oper_port_state_str",
        "ad_partner_oper_port_state",
        "ad_partner_oper_port_state_str",
        "active_slave",
        "cost",
        "link_netnsid",
        "tso_max_size",
        "inet6_addr_gen_mode",
        "secondary",
    ]
)
"""Fields that change by themselves, or with a link's index."""


_ALL = "00:00:00:00:00:00"
"""The MAC under which a VXLAN end point keeps where it sends what is for all."""


def seen() -> object:
    """Return links with their addresses, routes, VXLANs' remotes, and VLANs of bridges that filter."""
    links = show("ip", "-d", "-j", "address")
    filtering = {link["ifname"] for link in links if _data(link).get("vlan_filtering")}
    ports = {link["ifname"] for link in links if link.get("master") in filtering} | filtering
    return {
        "links": {link["ifname"]: _link(link) for link in links},
        "routes": sorted(
            (
                _route(route)
                for family in "46"
                for route in show("ip", "-d", "-j", f"-{family}", "route")
                if route["dst"] != "fe80::/64"
            ),
            key=str,
        ),
        "flood": sorted(
            (one["ifname"], one["dst"]) for one in show("bridge", "-j", "fdb") if one["mac"] == _ALL and "dst" in one
        ),
        "entries": sorted(_entries({link.get("address") for link in links})),
        "vlans": {one["ifname"]: one["vlans"] for one in show("bridge", "-j", "vlan") if one["ifname"] in ports},
    }


def _entries(own: set[Any]) -> Iterator[tuple[str, ...]]:
    """Yield what somebody has entered in forwarding tables: not what is learned, nor the links' own MACs."""
    for one in show("bridge", "-j", "fdb"):
        if one["state"] in ("static", "permanent") and one["mac"] not in own and ("master" in one or "dst" in one):
            yield tuple(str(one.get(name, "")) for name in ("ifname", "mac", "vlan", "master", "dst", "state"))


def _data(link: dict[str, Any]) -> dict[str, Any]:
    data: dict[str, Any] = link.get("linkinfo", {}).get("info_data", {})
    return data


def _link(link: dict[str, Any]) -> object:
    addresses = [
        _steady(address) | {"local": address["local"]}
        for address in link["addr_info"]
        if not address["local"].startswith("fe80:")
    ]
    addresses.sort(key=lambda address: str(address["local"]))
    return _steady({**link, "addr_info": []}) | {"up": "UP" in link["flags"], "addresses": addresses}


def _route(route: dict[str, Any]) -> dict[str, Any]:
    """Return a route without the source address where the kernel chose it: a network's first, whichever that is now."""
    return _steady({name: value for name, value in route.items() if name != "prefsrc" or route["protocol"] != "kernel"})


def _steady(value: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _steady(inner) if isinstance(inner, dict) else inner
        for name, inner in value.items()
        if name not in _PASSING
    }


def marks(name: str) -> dict[str, int]:
    """Return the IFA_PROTO of each address of a link, 0 for none: ip(8) of Debian 12 does not show it yet.

    Source: linux/if_addr.h (IFA_ADDRESS 1, IFA_LOCAL 2, IFA_PROTO 11), rtnetlink(7).
    """
    found: dict[str, int] = {}
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.send(struct.pack("=IHHIIBBBBI", 24, 22, 0x301, 1, 0, 0, 0, 0, 0, 0))
        while True:
            data = kernel.recv(1 << 18)
            while data:
                length, kind = struct.unpack_from("=IH", data)
                if kind == 3:  # NLMSG_DONE
                    return found
                family, prefix, _, scope, number = struct.unpack_from("=BBBBI", data, 16)
                values = dict(_attributes(data[24:length]))
                if number == socket.if_nametoindex(name) and scope != 253:  # RT_SCOPE_LINK
                    text = socket.inet_ntop(family, values.get(2, values[1]))
                    found[f"{text}/{prefix}"] = values.get(11, b"\0")[0]
                data = data[length:]


def attribute(name: str, *path: int) -> int | None:
    """Return the number in the attribute of link *name* that *path* leads to, by linux/if_link.h; a flag's is 1."""
    number = socket.if_nametoindex(name)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.send(struct.pack("=IHHIIBxHiII", 32, 18, 0x1, 1, 0, 0, 0, number, 0, 0))
        data = kernel.recv(1 << 18)[32:]
    for step in path:
        found = dict(_attributes(data)).get(step)
        if found is None:
            return None
        data = found
    return int.from_bytes(data, "little") if data else 1


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while data:
        length, kind = struct.unpack_from("=HH", data)
        yield kind & 0x3FFF, data[4:length]
        data = data[(length + 3) & ~3 :]


def limits(name: str) -> list[str]:
    """Return the queueing discipline, filters and policers of a link, as tc(8) shows them; not the kernel's own."""
    lines = run("tc", "qdisc", "show", "dev", name) + run("tc", "filter", "show", "dev", name, "ingress")
    passing = ("ref ", "not_in_hw", "qdisc noqueue 0:", "qdisc pfifo_fast 0:", "qdisc mq 0:", "qdisc fq_codel 0:")
    found = [text for line in lines.splitlines() if (text := line.strip()) and not text.startswith(passing)]
    return [re.sub("police 0x[0-9a-f]+", "police", text) for text in found]
