"""interfaces(5), one file: nothing is lost, and every line is what ifupdown takes it for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvenetd.interfaces.stanza import File, Iface, Mapping, Rename, Selection, Source, canonical
from pvenetd.interfaces.syntax import parse

DATA = Path(__file__).parents[1] / "data" / "interfaces"
CASES = json.loads((DATA / "manifest.json").read_text())

BOM = "\ufeff"


def ifaces(file: File) -> list[Iface]:
    return [stanza for stanza in file.stanzas if isinstance(stanza, Iface)]


def options(text: str) -> list[tuple[str, str]]:
    return [(option.name, option.value) for option in ifaces(parse(text))[0].options]


def stanza(case: str, name: str) -> Iface:
    file = parse((DATA / f"{case}.interfaces").read_bytes())
    return next(iface for iface in ifaces(file) if iface.name == name)


def words() -> st.SearchStrategy[str]:
    keywords = ["iface", "auto", "allow-hotplug", "allow-", "mapping", "source", "source-directory", "rename"]
    others = [
        "inherits",
        "inet",
        "inet6",
        "static",
        "script",
        "map",
        "bridge_ports",
        "eth0",
        "none",
        "#",
        "\\",
        '"',
        "=",
    ]
    return st.sampled_from([*keywords, *others]) | st.text(max_size=4)


def lines() -> st.SearchStrategy[str]:
    blanks = st.sampled_from(["", " ", "\t", "  "])
    ends = st.sampled_from(["\n", "\n", "\r\n", "\\\n", "\\\r\n", " \\\n", ""])
    return st.builds(lambda indent, row, end: indent + " ".join(row) + end, blanks, st.lists(words(), max_size=5), ends)


@given(st.binary())
def test_any_bytes_survive(data: bytes) -> None:
    assert bytes(parse(data)) == data


@given(st.builds("".join, st.lists(lines(), max_size=30)))
def test_any_text_survives_and_each_line_of_it_is_in_one_line(text: str) -> None:
    file = parse(text)
    assert str(file) == text
    assert [line.line for line in file.lines] == [
        1 + text[: sum(len(line.raw) for line in file.lines[:n])].count("\n") for n in range(len(file.lines))
    ]
    assert all(1 <= problem.line <= text.count("\n") + 1 for problem in file.problems)


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["id"]))
def test_data_files_survive_and_are_good_syntax(case: dict[str, str]) -> None:
    data = (DATA / case["file"]).read_bytes()
    file = parse(data, case["file"])
    assert bytes(file) == data
    assert file.problems == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("iface a inet manual\n\n\tmtu 1400\n", [("mtu", "1400")]),
        ("iface a inet manual\n# c\n\tmtu 1400\n", [("mtu", "1400")]),
        ("iface a inet manual\n# c \\\n\tmtu 1400\n", [("mtu", "1400")]),
        ("iface a inet manual\n\tmtu \\\n1400\n", [("mtu", "1400")]),
        ("iface a inet manual\n\tmtu \\\r\n1400\r\n", [("mtu", "1400")]),
        ("iface a inet manual\n\tup a \\\n # b\n", [("up", "a  # b")]),
        ("iface a inet manual\n\tup a b\\\n\n\tmtu 1400\n", [("up", "a b"), ("mtu", "1400")]),
        ("iface a inet manual\n\tup a\\ \n\tmtu 1400\n", [("up", "a\\"), ("mtu", "1400")]),
        ("iface a inet manual\n\tup a \\", [("up", "a")]),
        ("iface a inet manual\n\tup  'a   b'  # c \n", [("up", "'a   b'  # c")]),
        ("iface a inet manual\n\tup a\u00a0b\u2003\n", [("up", "a\u00a0b\u2003")]),
        ("iface a inet manual\n\tup a\rb\r\n", [("up", "a\rb")]),
        ("iface a inet manual\nauto b\niface c inet manual\n\tmtu 1\n", []),
        (BOM + "iface a inet manual\n\tmtu 1\n", [("mtu", "1")]),
        ("iface a \\\n inet manual\n\tmtu 1\n", [("mtu", "1")]),
    ],
)
def test_options_of_a_stanza(text: str, expected: list[tuple[str, str]]) -> None:
    assert options(text) == expected
    assert str(parse(text)) == text


@pytest.mark.parametrize(
    ("line", "name", "family", "method", "inherits"),
    [
        ("iface a inet static", "a", "inet", "static", None),
        ("iface a inet6 auto", "a", "inet6", "auto", None),
        ("iface a can static", "a", "can", "static", None),
        ("\tiface \t a", "a", None, None, None),
        ("iface a inet", "a", "inet", None, None),
        ("iface a inherits b", "a", None, None, "b"),
        ("iface a inet static inherits b", "a", "inet", "static", "b"),
        ("iface a inherits b inet", "a", "inet", None, "b"),
        ("template a", "a", None, None, None),
        ("vlan vmbr0.10", "vmbr0.10", None, None, None),
    ],
)
def test_iface_line(line: str, name: str, family: str | None, method: str | None, inherits: str | None) -> None:
    file = parse(line)
    (iface,) = ifaces(file)
    assert (iface.name, iface.family, iface.method, iface.inherits) == (name, family, method, inherits)
    assert iface.is_interface == line.strip().startswith("iface")
    assert file.problems == ()


@pytest.mark.parametrize(
    ("line", "group", "names"),
    [
        ("auto a b", "auto", ("a", "b")),
        ("allow-auto a", "auto", ("a",)),
        ("allow-hotplug a /eth*=b", "hotplug", ("a", "/eth*=b")),
        ("allow-vmbr1 a \\\n b", "vmbr1", ("a", "b")),
        ("no-auto-down a", None, ("a",)),
        ("no-scripts a", None, ("a",)),
    ],
)
def test_selection(line: str, group: str | None, names: tuple[str, ...]) -> None:
    (selection,) = parse(line).stanzas
    assert isinstance(selection, Selection)
    assert (selection.group, selection.names) == (group, names)


def test_other_stanzas() -> None:
    text = "mapping a b*\n script /x y\n map 1\n map 2 3\nrename a=b\nsource 'x y' z*\nsource-directory d\n"
    mapping, rename, source, directory = parse(text).stanzas
    assert isinstance(mapping, Mapping)
    assert (mapping.patterns, mapping.script, mapping.maps) == (("a", "b*"), "/x y", ("1", "2 3"))
    assert isinstance(rename, Rename)
    assert rename.pairs == (("a", "b"),)
    assert isinstance(source, Source)
    assert isinstance(directory, Source)
    assert (source.patterns, source.is_directory) == (("x y", "z*"), False)
    assert (directory.patterns, directory.is_directory) == (("d",), True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "mtu 1400\n",
            "f:1: error syntax: option 'mtu' is outside any iface stanza (options stand below an iface line)",
        ),
        (
            "ifcae a inet manual\n",
            "f:1: error syntax: option 'ifcae' is outside any iface stanza (did you mean iface?)",
        ),
        ("iface a inet manual\nauto a\nmtu 1\n", "f:3: error syntax: option 'mtu' is outside any iface stanza"),
        ("iface a inet manual\nsource b\nmtu 1\n", "f:3: error syntax: option 'mtu' is outside any iface stanza"),
        ("allow- a\n", "f:1: error syntax: option 'allow-' is outside any iface stanza"),
        ("\niface\n", "f:2: error syntax: iface without a name (iface NAME inet METHOD)"),
        ("iface a static\n", "f:1: error syntax: unknown address family 'static' (iface a inet METHOD; families are"),
        ("iface a inet static # x\n", "f:1: warning syntax: '# x' is ignored (comments need lines of their own)"),
        ("iface a # x\n", "f:1: warning syntax: '# x' is ignored"),
        ("iface a inet static inherits\n", "f:1: error syntax: inherits without a template (inherits TEMPLATE)"),
        ("iface a\nup x\nbridge-ports\n", "f:3: error syntax: option 'bridge-ports' has no value (write none for"),
        ("iface a\nup \\\n\\\nx\nmtu\n", "f:5: error syntax: option 'mtu' has no value (mtu VALUE, or drop the line)"),
        ("iface a\nup x\0\n", "f:2: error syntax: a NUL byte (no command and no environment can carry it)"),
        ("auto\n", "f:1: warning syntax: auto names no interface"),
        ("auto a # b\n", "f:1: warning syntax: the words after # are names of interfaces too"),
        ("source\n", "f:1: error syntax: source without a path (source PATH)"),
        ("source 'a\n", "f:1: error syntax: source has a quote that is not closed ('a)"),
        ("rename a\n", "f:1: error syntax: rename cannot read 'a' (rename CUR=NEW)"),
        ("mapping\nscript x\n", "f:1: error syntax: mapping without a pattern (mapping PATTERN)"),
        ("mapping a\n", "f:1: error syntax: mapping without a script (script PROGRAM, on a line below)"),
        ("mapping a\nscript x\nscript y\n", "f:3: error syntax: a second script in one mapping (keep one)"),
        ("mapping a\nscript x\nmtu 1\n", "f:3: error syntax: 'mtu' does not belong into a mapping"),
    ],
)
def test_problems_tell_line_and_remedy(text: str, expected: str) -> None:
    (problem,) = parse(text, "f").problems
    assert str(problem).startswith(expected)


def test_a_comment_may_hold_any_byte() -> None:
    assert parse(b"# a\0b\n").problems == ()


def test_underscore_and_dash_are_one_name_and_the_spelling_stays() -> None:
    (iface,) = ifaces(parse("iface a\n\tbridge_vlan-aware yes\n", "f"))
    (option,) = iface.options
    assert (option.name, option.key, option.origin) == ("bridge_vlan-aware", "bridge-vlan-aware", "f:2")
    assert canonical("bond_mode") == "bond-mode"


@pytest.mark.parametrize(
    ("case", "name", "option", "values"),
    [
        ("03-old-style-bridge", "vmbr0", "bridge-ports", ["eth1 eth0"]),
        ("03-old-style-bridge", "vmbr0", "broadcast", ["198.51.100.63"]),
        ("11-comments-everywhere", "eth0", "mtu", ["1400"]),
        ("11-comments-everywhere", "eth0", "post-up", ['logger "up # not a comment"']),
        ("21-crlf", "eth0", "gateway", ["192.0.2.1"]),
        ("23-utf8", "eth0", "post-up", ['logger "Verbindung für Büro – geschäftlich ✓"']),
        ("27-custom-vlan-names", "vlan72", "vlan-raw-device", ["enp0s25"]),
        ("35-latin1", "eth0", "post-up", ['logger "caf\udce9"']),
        ("41-no-mac-learning", "vmbr0", "bridge-disable-mac-learning", ["1"]),
        (
            "09-nat-bridge-before-nic",
            "vmbr1",
            "post-up",
            ["iptables -t nat -A POSTROUTING -s 10.78.0.0/24 -o eno1 -j MASQUERADE"],
        ),
        (
            "29-hook-quoting",
            "eth0",
            "pre-up",
            [
                "ethtool -K $IFACE gro off gso off || :",
                'for i in 1 2 3; do echo "try #$i"; done',
                """test "$MODE" = start && { printf '%s\\n' "a\\tb" | tee /run/x; }""",
                """echo 'C:\\temp' "it's\"""",
            ],
        ),
    ],
)
def test_data_files_mean(case: str, name: str, option: str, values: list[str]) -> None:
    assert [found.value for found in stanza(case, name).options if found.key == option] == values


def test_nothing_is_invented() -> None:
    assert [iface.name for iface in ifaces(parse((DATA / "01-loopback-only.interfaces").read_bytes()))] == ["lo"]
    names = [iface.name for iface in ifaces(parse((DATA / "19-mapping.interfaces").read_bytes()))]
    assert names == ["lo", "eth0-rack", "eth0-bench"]
    (auto, _) = parse((DATA / "45-bom.interfaces").read_bytes()).stanzas[:2]
    assert isinstance(auto, Selection)
    assert auto.names == ("lo",)
