"""Text surgery: what changes, what stays, and what undoing leaves."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pvenetd.interfaces.edit import Draft, stanza_text
from pvenetd.interfaces.stanza import File, Iface, Selection, Stanza
from pvenetd.interfaces.syntax import parse
from tests.unit.test_check import DATA

FILES = sorted(DATA.glob("*.interfaces"))


def iface(file: File, number: int = 0) -> Iface:
    return [stanza for stanza in file.stanzas if isinstance(stanza, Iface)][number]


def changed(text: str, name: str, *values: str, number: int = 0) -> str:
    file = parse(text)
    draft = Draft(file)
    draft.set(iface(file, number), name, values)
    return draft.text()


@pytest.mark.parametrize(
    ("text", "name", "values", "after"),
    [
        pytest.param("iface a\n\tmtu 1\n", "mtu", ["2"], "iface a\n\tmtu 2\n", id="a value"),
        pytest.param("iface a\n  mtu\t  1  \r\n", "mtu", ["2"], "iface a\n  mtu\t  2  \r\n", id="blanks and line end"),
        pytest.param("iface a\n bridge_fd 1\n", "bridge-fd", ["2"], "iface a\n bridge_fd 2\n", id="spelling"),
        pytest.param("iface a\n mtu 1", "mtu", ["22"], "iface a\n mtu 22", id="no last newline"),
        pytest.param("iface a\n mtu 1", "fd", ["2"], "iface a\n mtu 1\n fd 2", id="new, no last newline"),
        pytest.param("iface a\n mtu 1", "mtu", [], "iface a", id="gone, no last newline"),
        pytest.param("\ufeffiface a\n", "mtu", ["1"], "\ufeffiface a\n\tmtu 1\n", id="BOM"),
        pytest.param("iface a\r\n", "mtu", ["1"], "iface a\r\n\tmtu 1\r\n", id="CRLF"),
        pytest.param("iface a \\", "mtu", ["1"], "iface a \n\tmtu 1", id="a continuation of nothing"),
        pytest.param("iface a\n\n mtu 1\n\n# b\niface b\n", "mtu", [], "iface a\n\n\n# b\niface b\n", id="dropped"),
        pytest.param(
            "iface a\n up x\niface b\n",
            "mtu",
            ["1"],
            "iface a\n mtu 1\n up x\niface b\n",
            id="before the commands",
        ),
        pytest.param(
            "iface a\n mtu 1\n up x\n", "address", ["x"], "iface a\n address x\n mtu 1\n up x\n", id="addresses first"
        ),
        pytest.param(
            "iface a\n address 1\n mtu 1\n",
            "gateway",
            ["2"],
            "iface a\n address 1\n gateway 2\n mtu 1\n",
            id="a gateway below its address",
        ),
        pytest.param(
            "iface a\n# of x\n up x\n# of y\n up y\n# last\n",
            "up",
            ["y", "z"],
            "iface a\n# of x\n up y\n# of y\n up z\n# last\n",
            id="several",
        ),
        pytest.param(
            "iface a\n ports  x \\\n   y\t\\\n z\n",
            "ports",
            ["x q z"],
            "iface a\n ports  x \\\n   q\t\\\n z\n",
            id="a word of a continued value",
        ),
        pytest.param(
            "iface a\n ports x \\\n   y \\\n z\n", "ports", ["x"], "iface a\n ports x\n", id="continuations go with it"
        ),
        pytest.param("iface a\n por\\\nts x\n", "ports", ["y"], "iface a\n ports y\n", id="a name in two lines"),
        pytest.param(
            "iface a\n up echo 'a  b'\n", "up", ["echo 'c  d'"], "iface a\n up echo 'c  d'\n", id="blanks of a command"
        ),
        pytest.param("iface a\n up\n", "up", ["x"], "iface a\n up x\n", id="one without a value"),
        pytest.param(
            "iface b\n    mtu 1\niface a\n",
            "mtu",
            [],
            "iface b\niface a\n",
            id="its own alone",
        ),
    ],
)
def test_options(text: str, name: str, values: list[str], after: str) -> None:
    assert changed(text, name, *values) == after


def test_a_new_option_is_indented_as_those_around_it() -> None:
    assert changed("iface b\n    mtu 1\niface a\n", "mtu", "2", number=1) == "iface b\n    mtu 1\niface a\n    mtu 2\n"


@pytest.mark.parametrize("value", ["", " ", "a\nb", "a\0", "a\\", "a\rb"])
def test_what_no_line_can_hold_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match=r"option|control|backslash"):
        changed("iface a\n", "up", value)


BLOCK = "auto b\niface b inet manual\n\tmtu 9\n"


@pytest.mark.parametrize(
    ("text", "anchor", "after"),
    [
        ("", None, BLOCK),
        ("# c", None, f"# c\n\n{BLOCK}"[:-1]),
        ("iface a\n\n\n", None, f"iface a\n\n{BLOCK}\n\n"),
        ("iface a\n mtu 1\n # own\n\n# z\niface z\n", 0, f"iface a\n mtu 1\n # own\n\n{BLOCK}\n# z\niface z\n"),
        ("iface a\n mtu 1\n# z\niface z\n", 0, f"iface a\n mtu 1\n{BLOCK}# z\niface z\n"),
        ("iface a\n mtu 1\n # own\n# z\niface z\n", 0, f"iface a\n mtu 1\n # own\n{BLOCK}# z\niface z\n"),
    ],
)
def test_where_a_stanza_is_put(text: str, anchor: int | None, after: str) -> None:
    file = parse(text)
    draft = Draft(file)
    draft.add(BLOCK, None if anchor is None else iface(file, anchor))
    assert draft.text() == after


def test_a_name_is_struck_off_a_list() -> None:
    text = "auto  a b \\\n  c\n\nauto b\n\nno-scripts b\n"
    file = parse(text)
    draft = Draft(file)
    for stanza in file.stanzas:
        assert isinstance(stanza, Selection)
        draft.strike(stanza, "b")
    assert draft.text() == "auto  a \\\n  c\n"


def test_comments_of_a_stanza() -> None:
    text = "iface a\n  # one\n mtu 1\n #two\n\n# of b\niface b\n"
    file = parse(text)
    draft = Draft(file)
    assert draft.comments(iface(file)) == [" one", "two"]
    draft.comment(iface(file), [" one", "2", "three"])
    assert draft.text() == "iface a\n  # one\n mtu 1\n #2\n #three\n\n# of b\niface b\n"
    assert Draft(file).comments(iface(file, 1)) == []


def test_the_method_is_a_word_of_its_line() -> None:
    file = parse("iface  a\tinet manual # x\n")
    draft = Draft(file)
    draft.reword(iface(file), ["a", "inet", "static", "#", "x"])
    assert draft.text() == "iface  a\tinet static # x\n"


def test_the_text_of_a_stanza() -> None:
    options = [("address", "192.0.2.1/24"), ("bridge-ports", "none")]
    assert stanza_text("vmbr0", "inet", "static", options, auto=True, comments=["LAN"]) == (
        "auto vmbr0\niface vmbr0 inet static\n\taddress 192.0.2.1/24\n\tbridge-ports none\n\t#LAN\n"
    )


# What is undone

WORDS = st.text("ab1/.:-\\#'$é", min_size=1, max_size=5).filter(lambda word: not word.endswith("\\"))
VALUES = st.lists(WORDS, min_size=1, max_size=3).map(" ".join)
NAMES = st.sampled_from(["address", "mtu", "bridge_ports", "bridge-ports", "up", "x-y"])
BLANK = st.sampled_from([" ", "\t", "  "])
END = st.sampled_from(["\n", "\n", "\r\n"])
OPTION = st.tuples(BLANK, NAMES, BLANK, VALUES, END).map("".join)
OTHER = st.sampled_from(["\n", "# c\n", "\t# d\r\n", " \n", "auto a b\n", "no-scripts b\n", "source x\n"])
HEAD = st.sampled_from(["iface a inet static\n", "iface b inet6 manual \r\n", "iface c\n"])


@st.composite
def texts(draw: st.DrawFn) -> str:
    """A file: stanzas, comments and blank lines anywhere, with or without its last newline."""
    lines = draw(st.lists(st.one_of(OPTION, OPTION, OTHER, HEAD), max_size=12))
    text = "".join([*draw(st.lists(OTHER, max_size=2)), draw(HEAD), *lines])
    return text.rstrip("\r\n") if draw(st.booleans()) else text


TRICKY = st.sampled_from(FILES).map(lambda path: path.read_bytes().decode("utf-8", "surrogateescape"))
ANY = st.one_of(texts(), texts(), TRICKY)


def pick(data: st.DataObject, text: str) -> tuple[File, int]:
    file = parse(text)
    count = sum(isinstance(stanza, Iface) for stanza in file.stanzas)
    assume(count)
    return file, data.draw(st.integers(0, count - 1))


@given(ANY)
def test_no_change_changes_no_byte(text: str) -> None:
    file = parse(text)
    draft = Draft(file)
    for stanza in file.stanzas:
        draft.reword(stanza, stanza.head.words)
        draft.comment(stanza, draft.comments(stanza))
        if isinstance(stanza, Iface):
            for option in stanza.options:
                same = [other.value for other in stanza.options if other.key == option.key]
                if all(same) and not any(value.endswith("\\") for value in same):
                    draft.set(stanza, option.name, same)
    assert draft.text() == text


@given(ANY, NAMES, VALUES, st.data())
def test_an_option_set_and_dropped_again_leaves_no_trace(text: str, name: str, value: str, data: st.DataObject) -> None:
    file, number = pick(data, text)
    assume(all(option.key != name.replace("_", "-") for option in iface(file, number).options))
    assume(not text.rstrip("\r\n").endswith("\\"))
    once = changed(text, name, value, number=number)
    assert [o.value for o in iface(parse(once), number).options if o.name == name] == [value]
    assert changed(once, name, value, number=number) == once
    assert changed(once, name, number=number) == text


@given(ANY, st.data())
def test_an_option_set_back_is_as_it_was(text: str, data: st.DataObject) -> None:
    file, number = pick(data, text)
    options = [option for option in iface(file, number).options if option.value and not option.value.endswith("\\")]
    assume(options)
    name = data.draw(st.sampled_from(options)).name
    before = [option.value for option in iface(file, number).options if option.key == name.replace("_", "-")]
    assume(all(before) and not any(value.endswith("\\") for value in before))
    words = [len(value.split()) for value in before]
    new = [" ".join(data.draw(st.lists(WORDS, min_size=count, max_size=count + 2))) for count in words]
    once = changed(text, name, *new, number=number)
    found = [option for option in iface(parse(once), number).options if option.key == name.replace("_", "-")]
    assert [option.words for option in found] == [tuple(value.split(" ")) for value in new]
    assert untouched(text, once) == untouched(once, text)
    if "\\\n" not in text and "\\\r\n" not in text:
        assert changed(once, name, *before, number=number) == text


def untouched(text: str, other: str) -> int:
    """Count the lines that are the same in both, of a text whose options alone change their values."""
    return sum(one == two for one, two in zip(text.splitlines(), other.splitlines(), strict=False))


@given(ANY, st.lists(st.text("ab #é", max_size=4), max_size=2), st.data())
def test_a_stanza_created_and_deleted_leaves_no_trace(text: str, comments: list[str], data: st.DataObject) -> None:
    file = parse(text)
    assume(not text.rstrip("\r\n").endswith("\\"))
    anchor = data.draw(st.sampled_from([None, *(stanza for stanza in file.stanzas if isinstance(stanza, Iface))]))
    draft = Draft(file)
    draft.add(stanza_text("new0", "inet", "manual", [("mtu", "9")], auto=True, comments=comments), anchor)
    once = draft.text()
    again = parse(once)
    undo = Draft(again)
    for stanza in again.stanzas:
        if isinstance(stanza, Selection) and "new0" in stanza.names:
            undo.strike(stanza, "new0")
        if isinstance(stanza, Iface) and stanza.name == "new0":
            assert undo.comments(stanza) == comments
            undo.remove(stanza)
    assert said(once) - said(text) == {("auto", "new0"), ("iface", "new0 inet manual", ("mtu", "9"))}
    assert undo.text() == text


def said(text: str) -> set[tuple[object, ...]]:
    """Return what the stanzas of *text* say."""
    return {(stanza.head.name, stanza.head.value, *options(stanza)) for stanza in parse(text).stanzas}


def options(stanza: Stanza) -> list[tuple[str, str]]:
    return [(option.name, option.value) for option in stanza.options] if isinstance(stanza, Iface) else []


def test_the_examples_are_there() -> None:
    assert len(FILES) > 30
    assert Path(FILES[0]).read_bytes()
