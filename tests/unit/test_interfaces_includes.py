"""source, source-directory, and all files as one configuration."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvenetd.errors import ConfigError
from pvenetd.interfaces.config import Config, single
from pvenetd.interfaces.includes import MAX_BYTES, Disk, expand, load
from pvenetd.interfaces.syntax import parse

DATA = Path(__file__).parents[1] / "data" / "interfaces"
MAIN = "/etc/network/interfaces"


def tree(root: Path, files: dict[str, str]) -> Disk:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Disk(root)


def config(root: Path, main: str, **files: str) -> Config:
    below = {f"etc/network/{name.replace('__', '/')}": text for name, text in files.items()}
    return load(MAIN, tree(root, {"etc/network/interfaces": main} | below))


def names(found: Config) -> list[str]:
    return [iface.name for iface in found.ifaces]


def test_stanzas_come_where_their_source_line_stands(tmp_path: Path) -> None:
    found = config(
        tmp_path, "iface a\nsource d/*\niface z\n", d__2="iface c\n", d__1="iface b\nsource ../x\n", x="iface x\n"
    )
    assert names(found) == ["a", "b", "x", "c", "z"]
    assert [file.path for file in found.files] == [
        MAIN,
        "/etc/network/d/1",
        "/etc/network/d/../x",
        "/etc/network/d/2",
    ]
    assert found.ifaces[2].head.origin == "/etc/network/d/../x:1"
    assert found.problems == ()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("source d/*", ["a", "b.c", "b~", "d-1_X"]),
        ("source d/*.c", ["b.c"]),
        ("source d/?", ["a"]),
        ("source d/[!b]*", ["a", "d-1_X"]),
        ("source d/[^b]*", ["a", "d-1_X"]),
        ("source d/.h*", [".hidden"]),
        ("source */a", ["a"]),
        ("source /etc/net*/d/a", ["a"]),
        ("source d/a d/b.c", ["a", "b.c"]),
        ("source 'd/a'", ["a"]),
        ("source-directory d", ["a", "d-1_X"]),
        ("source-directory /etc/network/[d]", ["a", "d-1_X"]),
    ],
)
def test_which_files_are_read(tmp_path: Path, line: str, expected: list[str]) -> None:
    files = {f"etc/network/d/{name}": f"iface {name}\n" for name in ("a", "b~", "b.c", ".hidden", "d-1_X")}
    found = load(MAIN, tree(tmp_path, files | {"etc/network/interfaces": line}))
    assert names(found) == expected
    assert found.problems == ()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("source nope", ["source-missing warning: no file /etc/network/nope"]),
        ("source d/a/b", ["source-missing warning: no file /etc/network/d/a/b"]),
        ("source nope*", []),
        ("source */nope", []),
        ("source-directory nope", ["source-missing warning: no file /etc/network/nope"]),
        ("source-directory nope*", []),
        ("source d", ["syntax error: /etc/network/d cannot be read: not a regular file"]),
        ("source fifo", ["syntax error: /etc/network/fifo cannot be read: not a regular file"]),
        ("source f*", ["syntax warning: /etc/network/fifo cannot be read: not a regular file"]),
        ("source-directory d", ["syntax warning: /etc/network/d/sub cannot be read: not a regular file"]),
        ("source interfaces", ["syntax error: /etc/network/interfaces sources itself"]),
        ("source ../network/*es", ["syntax error: /etc/network/../network/interfaces sources itself"]),
        ("source d/a d/a", ["syntax warning: /etc/network/d/a is read only once"]),
        ("source loop1", ["syntax error: /etc/network/loop1 sources itself"]),
        (
            "source nul\0",
            ["syntax error: a NUL byte", "syntax error: /etc/network/nul\0 cannot be read: no path has a NUL byte"],
        ),
    ],
)
def test_what_cannot_be_read(tmp_path: Path, line: str, expected: list[str]) -> None:
    files = {"interfaces": line, "d/a": "", "loop1": "source loop2", "loop2": "source loop1"}
    disk = tree(tmp_path, {f"etc/network/{name}": text for name, text in files.items()})
    (tmp_path / "etc/network/d/sub").mkdir()
    os.mkfifo(tmp_path / "etc/network/fifo")
    problems = load(MAIN, disk).problems
    assert [f"{problem.code} {problem.severity}: {problem.message}" for problem in problems] == expected


def test_nothing_outside_the_root_is_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("iface secret\n")
    root = tmp_path / "root"
    (root / "etc/network").mkdir(parents=True)
    (root / "etc/network/link").symlink_to(tmp_path / "secret")
    found = config(root, "source link\nsource ../../../secret\n")
    assert names(found) == []
    assert [problem.line for problem in found.problems if "outside" in problem.message] == [1, 2]


def test_a_directory_within_itself_ends(tmp_path: Path) -> None:
    (tmp_path / "etc/network").mkdir(parents=True)
    (tmp_path / "etc/network/d").symlink_to(".")
    found = config(tmp_path, "source d/interfaces\n")
    assert "too many files" in found.problems[-1].message


def test_a_file_too_large_is_refused(tmp_path: Path) -> None:
    disk = tree(tmp_path, {"etc/network/interfaces": "source big\n", "etc/network/big": ""})
    os.truncate(tmp_path / "etc/network/big", MAX_BYTES + 1)
    (problem,) = load(MAIN, disk).problems
    assert problem.message == "/etc/network/big cannot be read: larger than 16 MiB"


@pytest.mark.parametrize("path", ["/nope", "/etc", "/a\0"])
def test_the_first_file_must_be_there(tmp_path: Path, path: str) -> None:
    (tmp_path / "etc").mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        load(path, Disk(tmp_path))


class _TwoNames:
    """Every directory holds a and b."""

    def read(self, path: str) -> bytes:
        return path.encode()

    def names(self, directory: str) -> list[str]:
        return ["b", "a"] if directory else []


@given(st.text(alphabet="ab/*?[]!^-.\\", max_size=12))
def test_any_pattern_is_expanded(pattern: str) -> None:
    found = expand(pattern, _TwoNames())
    assert found == sorted(found)
    assert (found == [pattern]) or any(char in pattern for char in "*?[")


def test_classes_keep_order_and_each_name_once() -> None:
    found = single(parse((DATA / "13-hotplug-classes.interfaces").read_bytes()))
    assert found.autos == ("lo", "eth1", "eth2")
    assert found.hotplug == ("eth0", "eth1")
    assert dict(found.classes)["lab"] == ("eth3", "eth2")
    assert found.no_auto_down == ("eth3",)
    assert found.no_scripts == ("eth3", "eth2")


def test_stanzas_by_name_mappings_and_renames() -> None:
    text = "iface a inet\niface b inet\niface a inet6\ntemplate t\nvlan v\nmapping m\nscript s\nrename x=y\nsource z\n"
    found = single(parse(text))
    assert {name: [iface.line for iface in ifaces] for name, ifaces in found.by_name.items()} == {"a": [1, 3], "b": [2]}
    assert [mapping.patterns for mapping in found.mappings] == [("m",)]
    assert found.renames == (("x", "y"),)
    assert [source.patterns for source in found.sources] == [("z",)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("iface t inet static\nmtu 1\nup x\niface a inet static inherits t\nup y\n", ("inet", "static", "1xy")),
        ("iface t inet static\nmtu 1\niface a inherits t\nup y\n", ("inet", "static", "1y")),
        (
            "iface t inet6 manual\nmtu 6\niface t inet manual\nmtu 4\niface a inet static inherits t\n",
            ("inet", "static", "4"),
        ),
        ("iface t inet manual\nmtu 1\niface t inet manual\nmtu 2\niface a inherits t\n", ("inet", "manual", "1")),
        ("template t\nmtu 1\niface a inet manual inherits t\n", ("inet", "manual", "1")),
        ("template t\nmtu 1\ntemplate u inherits t\nup y\niface a inherits u\n", (None, None, "1y")),
    ],
)
def test_template_options_come_first(text: str, expected: tuple[str | None, str | None, str]) -> None:
    found = single(parse(text))
    iface = found.by_name["a"][0]
    assert (iface.family, iface.method, "".join(option.value for option in iface.options)) == expected
    assert found.problems == ()
    assert found.templates >= {iface.inherits}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("iface a inet manual inherits t\n", "f:1: error syntax: no stanza 't inet' to inherit from"),
        ("iface a inherits t\niface t inet manual\n", "f:1: error syntax: no stanza 't' to inherit from"),
        ("iface a inherits a\n", "f:1: error syntax: no stanza 'a' to inherit from"),
        ("iface t inet manual\niface a inet6 manual inherits t\n", "f:2: error syntax: no stanza 't inet6' to inherit"),
    ],
)
def test_a_template_stands_before_its_heirs(text: str, expected: str) -> None:
    (problem,) = single(parse(text, "f")).problems
    assert str(problem).startswith(expected)
