"""What our writer writes, ifupdown and ifupdown2 read with the same meaning; where not, the reason stands here.

A reason is a function that takes what we read to what the other program says instead.  One that nothing
needs any more fails, too.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

import pytest

from pvenetd.interfaces.config import Config, single
from pvenetd.interfaces.stanza import Selection
from pvenetd.interfaces.syntax import parse
from tests import harness
from tests.readers import Ifupdown, Ifupdown2, Options, Stanza, ours, rewritten

DATA = Path(__file__).parent / "data" / "interfaces"
_COMMANDS = ("pre-up", "up", "post-up", "pre-down", "down", "post-down")
_COMPUTED = {
    "netmask", "broadcast", "autoconf", "preferred-lifetime", "dad-attempts", "dad-interval", "accept-ra", "privext",
    "request-prefix", "ll-attempts", "ll-interval", "scope",
}  # fmt: skip
_OF_ADDRESSES = {"address", "netmask", "broadcast", "pointopoint", "gateway", "metric", *_COMPUTED}
_UNKNOWN_LINES = {"mapping", "script", "map", "no-auto-down", "no-scripts", "rename"}


def texts() -> Iterator[Any]:
    for case in harness.cases():
        yield pytest.param(case.interfaces.encode(), id=case.name)
    for entry in json.loads((DATA / "manifest.json").read_text()):
        if "invalid" not in entry:
            yield pytest.param((DATA / entry["file"]).read_bytes(), id=entry["id"])


TEXTS = [*texts()]


@pytest.fixture(scope="module")
def needed() -> Iterator[Counter[str]]:
    """How often each reason was needed; asked when all texts have been read by both."""
    found: Counter[str] = Counter()
    yield found
    if found.pop("texts", 0) == 2 * len(TEXTS):
        assert [
            reason.__name__
            for reason in (several_lines_are_one_value, *IFUPDOWN, *IFUPDOWN2)
            if not found[reason.__name__]
        ] == []


# ifupdown's reasons: (ours, theirs) → both, alike in what the reason is about


def post_up_is_up(mine: Options, theirs: Options) -> tuple[Options, Options]:
    names = {"post-up": "up", "pre-down": "down"}
    return Counter((names.get(key, key), value) for key, value in mine.elements()), theirs


def a_mac_needs_no_class(mine: Options, theirs: Options) -> tuple[Options, Options]:
    bare = Counter(
        (key, value.removeprefix("ether ") if key == "hwaddress" else value) for key, value in mine.elements()
    )
    return bare, theirs


def several_addresses_are_one_value_it_cannot_use(mine: Options, theirs: Options) -> tuple[Options, Options]:
    rest = [[(key, value) for key, value in side.elements() if key not in _OF_ADDRESSES] for side in (mine, theirs)]
    return Counter(entry for entry in rest[0] if entry[1]), Counter(entry for entry in rest[1] if entry[1])


def several_lines_are_one_value(stanza: Options) -> Options:
    """Said of each stanza by itself, before they are taken together."""
    found: Options = Counter()
    seen: set[str] = set()
    for key, value in stanza.elements():
        again = key in seen and key not in _COMMANDS and key not in ("address", "gateway")
        found[(value, "") if again else (key, value)] += 1
        seen.add(key)
    return found


def the_prefix_becomes_a_netmask(mine: Options, theirs: Options) -> tuple[Options, Options]:
    found: Options = Counter()
    for key, value in mine.elements():
        if key == "address" and "/" in value and (key, value) not in theirs:
            network = ip_interface(value).network
            masks = {("netmask", str(network.netmask)), ("netmask", str(network.prefixlen))}
            assert masks & theirs.keys(), value
            found["address", value.partition("/")[0]] += 1
        else:
            found[key, value] += 1
    return found, theirs


def a_broadcast_sign_is_computed(mine: Options, theirs: Options) -> tuple[Options, Options]:
    return Counter((key, value) for key, value in mine.elements() if (key, value) != ("broadcast", "-")), theirs


def defaults_are_told_too(mine: Options, theirs: Options) -> tuple[Options, Options]:
    said = {key for key, _ in mine}
    return mine, Counter(
        (key, value) for key, value in theirs.elements() if key in said or key not in _COMPUTED or (key, value) in mine
    )


IFUPDOWN = (
    several_addresses_are_one_value_it_cannot_use,
    post_up_is_up,
    a_mac_needs_no_class,
    the_prefix_becomes_a_netmask,
    a_broadcast_sign_is_computed,
    defaults_are_told_too,
)


# ifupdown2's reasons: a stanza of ours → what it says instead


def an_alias_is_its_interfaces(stanza: Stanza) -> Stanza:
    return replace(stanza, name=stanza.name.partition(":")[0])


def iface_is_put_in(stanza: Stanza) -> Stanza:
    return _options(stanza, lambda key, value: (key, value.replace("$IFACE", stanza.name)))


def backslashes_are_lost(stanza: Stanza) -> Stanza:
    return _options(stanza, lambda key, value: (key, value.replace("\\", " ") if "\\" in value else value))


def a_tunnels_options_have_other_names(stanza: Stanza) -> Stanza:
    names = {short: f"tunnel-{short}" for short in ("endpoint", "local", "mode", "ttl")}
    names["tunnel-physdev"] = "tunnel-dev"
    return _options(stanza, lambda key, value: (names.get(key, key), value))


def a_family_it_does_not_know_is_none(stanza: Stanza) -> Stanza:
    return replace(stanza, family="", method="") if stanza.family == "can" else stanza


IFUPDOWN2 = (
    iface_is_put_in,
    an_alias_is_its_interfaces,
    backslashes_are_lost,
    a_tunnels_options_have_other_names,
    a_family_it_does_not_know_is_none,
)


def without_lines_of_others(stanza: Stanza) -> Stanza:
    """Return what it says without the lines that it does not know and takes for options of the stanza above."""
    kept = Counter((key, value) for key, value in stanza.options.elements() if key not in _UNKNOWN_LINES)
    return replace(stanza, options=kept)


def said(stanza: Stanza) -> tuple[str, str, str, list[tuple[str, str]]]:
    return stanza.name, stanza.family, stanza.method, sorted(stanza.options.elements())


def _options(stanza: Stanza, change: Any) -> Stanza:
    return replace(stanza, options=Counter(change(key, value) for key, value in stanza.options.elements()))


def written(text: bytes, tmp_path: Path) -> tuple[Config, Path]:
    """Return a configuration as our writer writes it, which we read as we read the text, and its file."""
    before = single(parse(text))
    file = tmp_path / "interfaces"
    file.write_bytes(rewritten(before).encode("utf-8", "surrogateescape"))
    after = single(parse(file.read_bytes()))
    assert ours(after) == ours(before)
    assert after.classes == before.classes
    return after, file


@pytest.mark.parametrize("text", TEXTS)
def test_ifupdown_reads_the_same(text: bytes, tmp_path: Path, needed: Counter[str]) -> None:
    needed["texts"] += 1
    config, file = written(text, tmp_path)
    found = Ifupdown(tmp_path / "state", file)
    if any(iface.family is None for iface in config.ifaces):
        assert "couldn't read" in found.error  # it has no stanzas without a family
        return
    assert found.error == ""
    assert found.autos == ["lo", *(name for name in config.autos if name != "lo")]  # lo always is
    for name in config.by_name:
        stanzas = [stanza.options for stanza in ours(config) if stanza.name == name]
        joined = [*map(several_lines_are_one_value, stanzas)]
        needed[several_lines_are_one_value.__name__] += joined != stanzas
        mine, theirs = sum(joined, Counter[tuple[str, str]]()), found.options(name)
        for reason in IFUPDOWN[0 if any(map(is_crowded, stanzas)) else 1 :]:
            changed = reason(mine, theirs)
            needed[reason.__name__] += changed != (mine, theirs)
            mine, theirs = changed
        assert mine == theirs, name


@pytest.mark.parametrize("text", TEXTS)
def test_ifupdown2_reads_the_same(text: bytes, tmp_path: Path, needed: Counter[str]) -> None:
    needed["texts"] += 1
    config, file = written(text, tmp_path)
    names = list(dict.fromkeys(name.partition(":")[0] for name in config.by_name))
    found = Ifupdown2(tmp_path / "state", file, names)
    if not _is_utf8(file.read_bytes()):
        assert "codec can't decode" in found.error  # it reads no such file at all
        return
    expected = ours(config)
    for reason in IFUPDOWN2:
        changed = [reason(stanza) for stanza in expected]
        needed[reason.__name__] += changed != expected
        expected = changed
    assert sorted(map(said, expected)) == sorted(map(said, map(without_lines_of_others, found.stanzas)))
    autos = {name for stanza in selections(config) for name in stanza.names if name in config.by_name}
    assert found.autos == {name.partition(":")[0] for name in autos}


def selections(config: Config) -> list[Selection]:
    """Return what is to come up at boot as it sees it: allow-auto is a class like any other."""
    return [stanza for stanza in config.stanzas if isinstance(stanza, Selection) and stanza.head.name == "auto"]


def is_crowded(options: Options) -> bool:
    """Return whether one stanza has several addresses or gateways."""
    return max(Counter(key for key, _ in options.elements() if key in ("address", "gateway")).values(), default=0) > 1


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
