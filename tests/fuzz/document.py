"""The OpenAPI document as it is tried: its answers closed, likely values beside all others, nothing that takes long."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pvenetd.api.route import nodes
from pvenetd.interfaces.edit import COMMANDS
from tests.api.conform import Schema

LEFT_OUT = {
    ("/nodes/{node}/pvenetd/adopt", "post"): "503: there is no libvirt",
    ("/access/ticket", "post"): "PAM takes seconds to say no",
}
"""What is not tried, and why."""
_SHORT = {"wait": 0.01, "seconds": 0.02}
"""Parameters that are seconds of waiting, and how many they may be."""
_NIC = "virtio=02:00:5E:00:53:01,bridge=vmbr0"
_LIKELY: dict[str, tuple[Any, ...]] = {
    "vmid": (100, 101, 200),
    "iface": ("vmbr0", "vmbr1", "eth0", "eth1", "bond0", "eth0.5", "vxlan1"),
    "upid": (f"UPID:{nodes()[0]}:00000001:00000000:5FB90000:srvreload:networking:root@pam:",),
    "type": ("bridge", "bond", "vlan", "vxlan", "eth"),
    "bridge_ports": ("none", "eth0", "eth1"),
    "slaves": ("eth0 eth1", "eth1"),
    "cidr": ("192.0.2.1/24", "198.51.100.1/24"),
    "cidr6": ("2001:db8::1/64",),
    "gateway": ("192.0.2.254",),
    "vlan-raw-device": ("eth0", "vmbr0"),
    "from": ("host", "outside", "vm/100/net0", "bridge/vmbr0"),
    "to": ("host", "outside", "vm/100", "vm/200"),
    "ifname": ("tap100i0", "veth200i0", "tap101i1"),
    "proto": ("tcp", "udp", "icmp", "icmp6", "17"),
    "source": ("192.0.2.9", "2001:db8::9"),
    "dest": ("192.0.2.1", "198.51.100.0/24"),
    "target": ("vm/100", "vm/100/net0", "bridge/vmbr0", "eth0", "lo"),
    "filter": ("", "tcp", "vlan 5"),
    "names": ("vmbr0", "eth0 eth1", "lo"),
    "netN": (_NIC, f"{_NIC},firewall=1,rate=1", f"{_NIC},tag=5,trunks=6-9,link_down=1", "name=eth0,bridge=vmbr0"),
}
"""Values that lead somewhere, by parameter."""


def tried(document: Schema) -> Schema:
    """Return *document* with answers that have no more than it names, and without what a test must not ask.

    Commands that a stanza has run are left out: what is tried is text from nowhere.
    """
    found: dict[str, Any] = _copied(document)
    for path, method in LEFT_OUT:
        found["paths"].get(path, {}).pop(method, None)
    found["paths"] = {path: methods for path, methods in found["paths"].items() if methods}
    for operation in _operations(found):
        for one in operation["parameters"]:
            one |= {"schema": _likely(one["name"], one["schema"]), "required": one["required"] or one["name"] in _SHORT}
        for kind in operation.get("requestBody", {}).get("content", {}).values():
            body = kind["schema"]
            known = body["properties"].items()
            body["properties"] = {name: _likely(name, one) for name, one in known if name not in COMMANDS}
            body["required"] = [*body.get("required", ()), *(_SHORT.keys() & body["properties"].keys())]
            patterns = body.get("patternProperties", {}).items()
            body |= {"patternProperties": {name: _likely("netN", one) for name, one in patterns}} if patterns else {}
    for operation in _operations(found):
        operation["responses"]["200"]["content"].pop("text/event-stream", None)
    parts = {*_parts(found["paths"])}
    for name, schema in found["components"]["schemas"].items():
        if "properties" in schema and name not in parts:
            schema.setdefault("additionalProperties", False)
    return found


def _operations(document: Schema) -> Iterator[dict[str, Any]]:
    for methods in document["paths"].values():
        yield from methods.values()


def _likely(name: str, schema: Schema) -> Schema:
    if name in _SHORT:
        return {**schema, "maximum": _SHORT[name]}
    if name not in _LIKELY or "enum" in schema:
        return schema
    return {"anyOf": [{"enum": [*_LIKELY[name]]}, schema]}


def _parts(paths: Schema) -> Iterator[str]:
    """Yield the records that are told in one with others."""
    for operation in _operations({"paths": paths}):
        schema = operation["responses"]["200"]["content"].get("application/json", {}).get("schema", {})
        yield from (one["$ref"].rpartition("/")[2] for one in schema.get("allOf", ()) if "$ref" in one)


def _copied(part: Any) -> Any:
    """Return a copy: what is written once in a document made by Python is one object in several places."""
    if isinstance(part, dict):
        return {name: _copied(one) for name, one in part.items()}
    return [_copied(one) for one in part] if isinstance(part, list) else part
