"""Events → signals: of many that come together, one a noun."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

MOST = 100
"""Texts in a signal; how many more there were is its last."""

CONFIGURATION, GUEST, FIREWALL = "ConfigurationChanged", "GuestChanged", "FirewallChanged"

CHANGES: dict[str, tuple[str, ...]] = {
    CONFIGURATION: ("State", "Staged", "Pending", "Failed"),
    GUEST: ("Guests", "Failed"),
    FIREWALL: ("Firewall", "FirewallDrift", "Pending", "Failed"),
}
"""Signal → the properties that may be others now."""


def signals(events: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, list[Any]]]:
    """Yield a name and a body for what has happened: to the interfaces, to the firewall, to each guest."""
    found: defaultdict[tuple[str, int], list[str]] = defaultdict(list)
    for event in events:
        for about in _about(event):
            found[about].append(_text(event))
    for (name, vmid), texts in found.items():
        what = texts[:MOST] if len(texts) <= MOST else [*texts[: MOST - 1], f"… and {len(texts) - MOST + 1} more"]
        yield name, ([vmid, what] if name == GUEST else [what])


def _about(event: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    owner, op = str(event.get("owner", "")), str(event.get("op", ""))
    vmid = event.get("vmid") or (owner.startswith("vm:") and owner.removeprefix("vm:"))
    if owner in ("firewall", "guard") or "firewall" in event or op[2:].startswith("chains "):
        yield FIREWALL, 0
        if not vmid:
            return
    yield (GUEST, int(vmid)) if vmid else (CONFIGURATION, 0)


def _text(event: Mapping[str, Any]) -> str:
    facts = [f"{name}={value}" for name, value in event.items() if name not in ("id", "time", "event", "op", "owner")]
    return " ".join([str(event.get("op") or event["event"]), *(fact for fact in facts if not fact.endswith("="))])
