"""Events as signals of org.pvenetd1, and what its introspection says."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from pvenetd.bus.news import CHANGES, MOST, signals
from pvenetd.bus.table import METHODS, NAME, PATH, PROPERTIES, SIGNALS, introspection


@pytest.mark.parametrize(
    ("event", "names"),
    [
        ({"event": "op", "owner": "interfaces", "op": "+ link vmbr0"}, ["ConfigurationChanged"]),
        ({"event": "waiting", "apply": "0123abcd", "seconds": 60}, ["ConfigurationChanged"]),
        ({"event": "op", "owner": "firewall", "op": "~ sysctl net/x"}, ["FirewallChanged"]),
        ({"event": "confirmed", "firewall": "0123abcd"}, ["FirewallChanged"]),
        ({"event": "op", "owner": "vm:100", "op": "+ chains vm:100"}, ["FirewallChanged", "GuestChanged"]),
        ({"event": "op", "owner": "vm:100", "op": "+ link tap100i0"}, ["GuestChanged"]),
        ({"event": "guest", "vmid": 100, "what": "SHUTDOWN"}, ["GuestChanged"]),
    ],
)
def test_an_event_is_told_to_whom_it_is_about(event: dict[str, object], names: list[str]) -> None:
    assert [name for name, _ in signals([event])] == names


def test_many_events_of_one_guest_are_one_signal_of_bounded_length() -> None:
    events = [{"event": "op", "owner": "vm:100", "op": f"+ link v{number}"} for number in range(MOST + 5)]
    ((name, (vmid, what)),) = signals(events)
    assert (name, vmid, len(what), what[-1]) == ("GuestChanged", 100, MOST, "… and 6 more")


def test_a_signal_names_properties_that_there_are() -> None:
    assert CHANGES.keys() == SIGNALS.keys()
    assert {name for names in CHANGES.values() for name in names} <= PROPERTIES.keys()


def test_introspection_has_everything_with_its_text_and_the_way_there() -> None:
    (ours,) = (one for one in ET.fromstring(introspection(PATH) or "") if one.get("name") == NAME)
    named = {kind: {one.get("name") for one in ours.iter(kind)} for kind in ("method", "property", "signal")}
    assert named == {"method": {*METHODS}, "property": {*PROPERTIES}, "signal": {*SIGNALS}}
    assert all(any("DocString" in str(note.get("name")) for note in one.iter("annotation")) for one in ours)
    below = {path: [one.get("name") for one in ET.fromstring(introspection(path) or "")] for path in ("/", "/org")}
    assert below == {"/": ["org"], "/org": ["pvenetd1"]}
    assert introspection("/org/pvenetd") is introspection("/elsewhere") is None
