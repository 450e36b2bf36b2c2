"""Answers of the daemon → text for people; pure functions."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator
from typing import Any

from pvenetd.ctl import show_leases
from pvenetd.ctl.page import Block, Table

_WIDEST = 72
"""Characters of an operation before its line of configuration; longer ones push it to the right."""


def status(data: dict[str, Any], _: argparse.Namespace) -> Iterator[Block]:
    """Show everything on one screen."""
    yield f"pvenetd {data['version']}"
    if found := data.get("health"):
        yield f"health         {found['status']}"
    yield f"configuration  {_configuration(data['interfaces'])}"
    if (drift := data["interfaces"].get("drift")) and data["interfaces"]["applied"]:
        yield f"drift          {_operations(drift)} to bring the host back to it (pvenetctl plan --drift)"
    if (ops := data["interfaces"].get("switch")) is not None:
        yield f"owner mode     {_switch(ops)}"
    if missing := data["interfaces"]["waiting"]:
        yield f"waiting for    {', '.join(missing)} (not there yet)"
    for nic in data["interfaces"]["nics"]:
        yield f"NIC            {nic}"
    yield f"firewall       {_firewall(data['firewall'])}"
    yield from (f"               {_lack(one)}" for one in data["firewall"]["lacks"] if one["rules"])
    yield from _others(data)
    if not data["errors"]:
        yield "errors         none"
    for owner, reason in data["errors"].items():
        yield f"error          {owner}: {_indented(reason)}"
    if data["bridges"]:
        yield ""
        rows = [
            (
                one["name"],
                "up" if one["up"] else "down",
                ", ".join(one["addresses"]) or "-",
                ("VLAN-aware; " if one["vlan_aware"] else "") + (", ".join(one["ports"]) or "no ports"),
            )
            for one in sorted(data["bridges"], key=lambda one: natural(one["name"]))
        ]
        yield Table(("bridge", "link", "addresses", "ports"), rows)
    if data["guests"]:
        yield ""
        yield from guests(data["guests"], _)


def _others(data: dict[str, Any]) -> Iterator[str]:
    """Show who else there is."""
    for one in data["neighbours"]:
        yield f"{'WARNING' if one['severity'] == 'warning' else 'neighbour':<15}{one['who']}: {one['text']}"
        if one["hint"]:
            yield f"{'':<15}{one['hint']}"
    if data["libvirt"] != "off":
        yield f"libvirt        {data['libvirt']}"


def pinned(data: list[dict[str, Any]], arguments: argparse.Namespace) -> Iterator[Block]:
    """Show which files were written or removed."""
    for one in data:
        now = f", now {one['now']}," if one["now"] != one["iface"] else ""
        yield f"{one['file']}: " + (f"NIC {one['mac']}{now} is {one['iface']}" if one["mac"] else "removed")
    if data:
        yield "In effect at the next boot; where the initramfs names NICs, run update-initramfs -u first."
    elif not arguments.remove:
        yield "no NIC is here"


def natural(name: str) -> list[tuple[int, str]]:
    """Return what sorts vmbr10 after vmbr9."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split("([0-9]+)", name)]


def _configuration(found: dict[str, Any]) -> str:
    if wait := found.get("confirm"):
        left = max(0, round(wait["seconds"]))
        return f"waiting for confirmation: pvenetctl confirm {wait['id']}, or it is rolled back in {left} s"
    count = found.get("plan", 0)
    differs = "differs from the kernel" if found.get("applied") else "never applied by pvenetd"
    states = {
        "in sync": "in sync",
        "staged": f"staged: {_operations(count)} to do (pvenetctl plan, pvenetctl apply)",
        "differs": f"{differs}: {_operations(count)} to do (pvenetctl plan, pvenetctl apply)",
        "broken": f"broken (pvenetctl interfaces check):\n  {_indented(found.get('error', ''))}",
    }
    return states.get(found["state"]) or str(found["state"])


def _switch(ops: list[str]) -> str:
    """Say what installing pvenetd-ifupdown would change."""
    if not ops:
        return "no; the package pvenetd-ifupdown would take the interfaces over and change nothing"
    would = f"no; the package pvenetd-ifupdown would take the interfaces over with {_operations(len(ops))}:"
    return _indented("\n".join((would, *ops)))


def _operations(count: int) -> str:
    return "1 operation" if count == 1 else f"{count} operations"


def _firewall(found: dict[str, Any]) -> str:
    if not found["enabled"]:
        return "off (enable: 1 in cluster.fw turns it on)"
    differs = (
        f"; differs from the files: {', '.join(found['drift'])} (pvenetctl firewall apply)" if found["drift"] else ""
    )
    stopped = f"; stopped, for nobody has announced them: {', '.join(found['stopped'])}" if found["stopped"] else ""
    return f"on, {found['backend']}; loaded: {', '.join(found['loaded']) or 'nothing'}{differs}{stopped}"


def _lack(found: dict[str, Any]) -> str:
    asking = f": {', '.join(found['rules'])}" if found["rules"] else ""
    return f"this kernel has {found['means']} ({found['needs']}){asking}"


def _indented(text: str) -> str:
    return text.replace("\n", "\n  ")


def interfaces(data: list[dict[str, Any]], _: argparse.Namespace) -> Iterator[Block]:
    """Show a table of interfaces."""
    yield Table(
        ("interface", "type", "link", "auto", "addresses", "consists of", "mtu"),
        [
            (
                one["iface"],
                one["type"],
                _link(one),
                "yes" if one["autostart"] else "no",
                ", ".join(_addresses(one)) or "-",
                _members(one) or "-",
                str(one.get("mtu") or one.get("live", {}).get("mtu") or "-"),
            )
            for one in data
        ],
    )


def _link(one: dict[str, Any]) -> str:
    if not one["exists"]:
        return "absent"
    return "up" if one["active"] else "down"


def _addresses(one: dict[str, Any]) -> list[str]:
    return one.get("live", {}).get("addresses") or [one[key] for key in ("cidr", "cidr6") if key in one]


def _members(one: dict[str, Any]) -> str:
    if "vlan-raw-device" in one:
        return f"{one['vlan-raw-device']}, VLAN {one['vlan-id']}"
    return str(one.get("bridge_ports") or one.get("slaves") or "")


def interface(data: dict[str, Any], _: argparse.Namespace) -> Iterator[Block]:
    """Show one interface: what its configuration says, then what the kernel has."""
    yield from _fields({key: value for key, value in data.items() if key not in ("live", "exists", "active")})
    yield f"link: {_link(data)}"
    yield from _fields(data.get("live", {}), "  ")


def _fields(values: dict[str, Any], indent: str = "") -> Iterator[str]:
    for key, value in values.items():
        text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        if text and value is not None:
            yield f"{indent}{key}: {text}"


def edited(_: Any, arguments: argparse.Namespace) -> Iterator[Block]:
    """Show where an edit has gone."""
    yield "written" if arguments.file else "staged (pvenetctl interfaces diff, pvenetctl plan, pvenetctl apply)"


def reverted(_: Any, __: argparse.Namespace) -> Iterator[Block]:
    """Show that nothing is staged any more."""
    yield "nothing is staged any more"


def difference(data: dict[str, Any], _: argparse.Namespace) -> Iterator[Block]:
    """Show a unified diff."""
    yield from data["text"].removesuffix("\n").split("\n") if data["text"] else ()


def problems(data: dict[str, Any], _: argparse.Namespace) -> Iterator[Block]:
    """Show ``FILE:LINE: error CODE: text`` for each problem."""
    yield from map(problem, data["problems"])


def problem(one: dict[str, Any]) -> str:
    """Return a problem as one line."""
    hint = f" ({one['hint']})" if one["hint"] else ""
    return f"{one['path']}:{one['line']}: {one['severity']} {one['code']}: {one['message']}{hint}"


def plan(data: list[dict[str, Any]], _: argparse.Namespace) -> Iterator[Block]:
    """Show one operation a line, with the line of configuration it comes from."""
    width = min(max((len(one["op"]) for one in data if one["origin"]), default=0), _WIDEST)
    for one in data:
        yield f"{one['op']:<{width}}  # {one['origin']}" if one["origin"] else one["op"]
    for one in data:
        yield from (f"# {outage['text']}" for outage in one.get("outages", ()))


def applied(data: dict[str, Any], arguments: argparse.Namespace) -> Iterator[Block]:
    """Show what was done, and how it ended."""
    yield from plan(data["ops"], arguments)
    if arguments.dry_run:
        return
    yield f"{data['outcome']}: pvenetctl confirm {data['id']}" if "id" in data else data["outcome"]


def outcome(data: dict[str, Any], _: argparse.Namespace) -> Iterator[Block]:
    """Show how it ended, and for which apply."""
    yield f"{data['outcome']} (apply {data['id']})" if data.get("id") else data["outcome"]


def done(data: dict[str, Any], arguments: argparse.Namespace) -> Iterator[Block]:
    """Show what was done, or that there was nothing to do."""
    yield from plan(data["ops"], arguments)
    if not data["ops"]:
        yield "nothing to do"


def adopted(data: dict[str, Any], _: argparse.Namespace) -> Iterator[Block]:
    """Show what has changed in a domain's configuration."""
    if not data["diff"]:
        yield f"nothing to do: it is wired to pvenetd, as guest {data['vmid']}"
        return
    yield data["diff"]
    yield f"guest {data['vmid']}" + (" (it runs: in effect at its next start)" if data["running"] else "")


def guests(data: list[dict[str, Any]], _: argparse.Namespace) -> Iterator[Block]:
    """Show a table of guests' NICs."""
    columns = ("vmid", "name", "nic", "tap", "bridge", "vlan", "mac", "link", "firewall", "source")
    yield Table(columns, [row for one in data for row in _rows(one)], ("source", "mac", "tap"))
    yield from (f"guest {one['vmid']}: {_indented(one['error'])}" for one in data if one["error"])
    yield from (problem for one in data for problem in _warnings(one))


def _rows(one: dict[str, Any]) -> Iterable[tuple[str, ...]]:
    head = (str(one["vmid"]), one["name"] or "-")
    if not one["nics"]:
        yield (*head, *["-"] * 8)
    for nic in one["nics"]:
        yield (
            *head,
            nic["nic"],
            nic["tap"],
            nic["bridge"] or "-",
            _vlans(nic),
            nic["mac"] or "-",
            _port(nic),
            _filtered(nic),
            nic["source"] if nic["plugged"] else "-",
        )


def _vlans(nic: dict[str, Any]) -> str:
    tagged = f"tagged {nic['trunks']}" if nic["trunks"] else ""
    return " ".join(filter(None, (str(nic["tag"] or ""), tagged))) or "-"


def _port(nic: dict[str, Any]) -> str:
    if not nic["plugged"]:
        return "pulled" if nic["pulled"] else "unplugged"
    return "up" if nic["up"] else "down"


def _filtered(nic: dict[str, Any]) -> str:
    if not nic["firewall"]:
        return "off"
    return "filtered" if nic["filtered"] else "not loaded"


def guest(data: dict[str, Any], _: argparse.Namespace) -> Iterator[Block]:
    """Show one guest, a paragraph for each NIC."""
    yield f"guest {data['vmid']} {data['name']}".rstrip()
    for nic in data["nics"]:
        yield f"{nic['nic']}: {nic['config']}"
        yield from _fields(
            {
                "tap": nic["tap"],
                "bridge": nic["bridge"],
                "vlan": "" if _vlans(nic) == "-" else _vlans(nic),
                "mac": nic["mac"],
                "mtu": nic["mtu"],
                "rate": f"{nic['rate']:g} MB/s" if nic["rate"] else None,
                "link": _port(nic),
                "firewall": _filtered(nic),
                "leased": show_leases.listed(nic.get("leases", [])),
                "sent": _counted(nic, "tx"),
                "received": _counted(nic, "rx"),
                "source": nic["source"],
            },
            "  ",
        )
    if data["error"]:
        yield f"error: {_indented(data['error'])}"
    yield from _warnings(data)


def _warnings(one: dict[str, Any]) -> list[str]:
    """Return what there is to say of a guest beside its error."""
    return [problem for problem in one["problems"] if problem not in one["error"].splitlines()]


def _counted(nic: dict[str, Any], way: str) -> str | None:
    """Return what a guest has sent or received, in words; None for a NIC that is not there."""
    if f"{way}_bytes" not in nic:
        return None
    lost = f", {nic[f'{way}_dropped']} dropped" if nic.get(f"{way}_dropped") else ""
    return f"{nic[f'{way}_packets']} packets, {nic[f'{way}_bytes']} bytes{lost}"


def text(data: dict[str, str], _: argparse.Namespace) -> Iterator[Block]:
    """Show a text as it is."""
    yield data["text"].removesuffix("\n")


def firewall(data: dict[str, Any], _: argparse.Namespace) -> Iterator[Block]:
    """Show what is loaded, and what differs."""
    yield f"firewall: {_firewall(data)}"
    if pending := data.get("confirm"):
        yield f"rolled back in {pending['seconds']:.0f} s unless confirmed: pvenetctl confirm {pending['id']}"
    if cut := data.get("cut"):
        yield f"connections that were cut: {sum(cut.values())}"
        yield from (f"  {count} by {rule}" for rule, count in cut.items())
    yield from map(_lack, data["lacks"])
    yield from map(problem, data.get("problems", ()))
    for one in data.get("neighbours", ()):
        yield f"{one['who']}: {one['text']} ({one['hint']})"


def broken_rules(data: dict[str, Any]) -> Iterator[Block]:
    """Show why files do not count as they are, a problem a line."""
    for owner, reason in data["failed"].items():
        yield reason if reason.startswith("/") else f"{owner}: {_indented(reason)}"


def reconciled(data: dict[str, Any], _: argparse.Namespace) -> Iterator[Block]:
    """Show whose part could not be brought."""
    yield from _failures(data)


def _failures(data: dict[str, Any]) -> Iterator[Block]:
    for owner, reason in data["failed"].items():
        yield f"{owner} stays as it is: {_indented(reason)}"


def events(data: list[dict[str, Any]], _: argparse.Namespace) -> Iterator[Block]:
    """Show an event a line."""
    for one in data:
        facts = [f"{key}={value}" for key, value in one.items() if key not in ("id", "time", "event") and value != ""]
        yield " ".join([one["time"], one["event"], *facts])


def packets(data: list[dict[str, Any]], _: argparse.Namespace) -> Iterator[Block]:
    """Show a logged packet a line, as Proxmox's log has it, and the rule."""
    for one in data:
        yield one["text"]


def rules(data: list[dict[str, Any]], _: argparse.Namespace) -> Iterator[Block]:
    """Show a row for each line of each chain; rules of our own by what they are called."""
    if not data:
        yield "no rules are loaded"
        return
    rows = [
        (one["chain"], str(one["packets"]), str(one["bytes"]), one["origin"] or "-", one["text"] or one["rules"][0])
        for one in data
    ]
    yield Table(("chain", "packets", "bytes", "line", "rule"), rows)


def rule_changes(data: list[dict[str, Any]], _: argparse.Namespace) -> Iterator[Block]:
    """Show each line that is new or gone, below its file and section."""
    if not data:
        yield "what the files say is loaded"
    place = None
    for one in data:
        if place != (place := (one["path"], one["section"])):
            yield f"{one['path']} {one['section']}" + ("" if one["counts"] else " (broken: counts as it was)")
        if one["text"]:
            yield f"  {one['sign']} {one['text']}    # line {one['line']}"
