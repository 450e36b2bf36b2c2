"""Edits of firewall files: what changes is what was asked for, and what is undone leaves every byte."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvenetd.errors import EditError, NotFound
from pvenetd.firewall.edit import Draft
from pvenetd.firewall.syntax import parse_cluster

TEXT = """\
# the head
[OPTIONS]

enable: 1
Policy_In :  DROP

[ALIASES]
Mail 192.0.2.25 # the öld one

[IPSET servers] # all of them
# the first
192.0.2.1
!mail  # not this

[RULES]

# ssh
IN SSH(ACCEPT) -i vmbr0  -source +Servers # from here
|OUT DROP -p tcp -dport 25 -dest dc/MAIL
GROUP Web -i vmbr1
what is this

# groups
[group web]
IN ACCEPT -p tcp -dport 80
IN ACCEPT -p tcp -dport 443
"""


def edited(edit: Callable[[Draft], None], text: str = TEXT) -> str:
    draft = Draft(text)
    edit(draft)
    return draft.text()


EDITS: list[tuple[Callable[[Draft], None], str, str]] = [
    (lambda one: one.set_option("policy_in", "REJECT"), "Policy_In :  DROP", "Policy_In :  REJECT"),
    (lambda one: one.set_option("ENABLE", None), "enable: 1\n", ""),
    (lambda one: one.set_option("ebtables", "1"), "DROP\n\n[AL", "DROP\nebtables: 1\n\n[AL"),
    (lambda one: one.put_alias("MAIL", "192.0.2.26"), "192.0.2.25 #", "192.0.2.26 #"),
    (lambda one: one.put_alias("mail", comment="new"), "# the öld one", "# new"),
    (lambda one: one.put_alias("mail", comment=""), " # the öld one", ""),
    (lambda one: one.put_alias("web", "2001:db8::1", "w"), "öld one\n", "öld one\nweb 2001:db8::1 # w\n"),
    (lambda one: one.delete_alias("mail"), "Mail 192.0.2.25 # the öld one\n", ""),
    (lambda one: one.put_entry("Servers", "192.0.2.1/32", excluded=True), "\n192.0.2.1\n", "\n!192.0.2.1\n"),
    (lambda one: one.put_entry("servers", "Mail", comment="x"), "# not this", "# x"),
    (lambda one: one.put_entry("servers", "2001:db8::/32"), "# not this\n", "# not this\n2001:db8::/32\n"),
    (lambda one: one.delete_entry("servers", "192.0.2.1"), "192.0.2.1\n", ""),
    (lambda one: one.insert_rule(0, {"type": "in", "action": "DROP"}), "# ssh", "IN DROP\n# ssh"),
    (lambda one: one.insert_rule(1, {"type": "out", "action": "DROP"}), "|OUT", "OUT DROP\n|OUT"),
    (lambda one: one.insert_rule(9, {"type": "in", "action": "DROP"}), "is this\n", "is this\nIN DROP\n"),
    (
        lambda one: one.insert_rule(
            0, {"type": "in", "action": "ACCEPT", "macro": "DNS", "enable": "0", "comment": "c", "iface": "x"}, "WEB"
        ),
        "IN ACCEPT -p tcp -dport 80\n",
        "|IN DNS(ACCEPT) -i x # c\nIN ACCEPT -p tcp -dport 80\n",
    ),
    (lambda one: one.change_rule(0, {"action": "DROP"}), "SSH(ACCEPT)", "SSH(DROP)"),
    (lambda one: one.change_rule(0, {}, ["macro", "iface"]), "SSH(ACCEPT) -i vmbr0", "ACCEPT"),
    (lambda one: one.change_rule(0, {"macro": "Web", "log": "info"}), "SSH(ACCEPT) -i vmbr0  -source +Servers",
     "Web(ACCEPT) -i vmbr0  -source +Servers -log info"),
    (lambda one: one.change_rule(0, {"enable": "0"}), "IN SSH", "|IN SSH"),
    (lambda one: one.change_rule(1, {"enable": "1", "dport": "587"}), "|OUT DROP -p tcp -dport 25",
     "OUT DROP -p tcp -dport 587"),
    (lambda one: one.change_rule(1, {"comment": "why"}), "dc/MAIL", "dc/MAIL # why"),
    (lambda one: one.change_rule(0, {"comment": "why"}), "from here", "why"),
    (lambda one: one.delete_rule(2), "GROUP Web -i vmbr1\n", ""),
    (lambda one: one.delete_rule(1, "web"), "IN ACCEPT -p tcp -dport 443\n", ""),
    (lambda one: one.create("group", "db", "c"), "443\n", "443\n\n[group db] # c\n"),
    (lambda one: one.create("ipset", "two"), "[RULES]", "[IPSET two]\n\n[RULES]"),
    (lambda one: one.describe("ipset", "SERVERS", ""), " # all of them", ""),
    (lambda one: one.describe("group", "web", "w"), "[group web]", "[group web] # w"),
    (lambda one: one.delete("ipset", "servers"), TEXT[TEXT.index("[IPSET") : TEXT.index("[RULES")], ""),
    (lambda one: one.delete("group", "web"), TEXT[TEXT.index("[group") :], ""),
]  # fmt: skip


@pytest.mark.parametrize(("edit", "old", "new"), EDITS, ids=range(len(EDITS)))
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["lf", "crlf"])
def test_an_edit_changes_what_it_names_alone(edit: Callable[[Draft], None], old: str, new: str, end: str) -> None:
    assert TEXT.count(old) == 1
    assert edited(edit, TEXT.replace("\n", end)) == TEXT.replace(old, new).replace("\n", end)


def test_a_new_section_stands_where_proxmox_writes_it() -> None:
    draft = Draft("[RULES]\nIN DROP")
    draft.create("group", "web")
    draft.insert_rule(0, {"type": "in", "action": "ACCEPT"}, "web")
    draft.put_alias("mail", "192.0.2.1")
    draft.set_option("enable", "1")
    assert (
        draft.text()
        == "[OPTIONS]\nenable: 1\n\n[ALIASES]\nmail 192.0.2.1\n\n[RULES]\nIN DROP\n\n[group web]\nIN ACCEPT"
    )


def test_a_rule_moves_before_another_with_the_comment_above_it() -> None:
    moved = edited(lambda one: one.move_rule(0, 2))
    body = (
        "|OUT DROP -p tcp -dport 25 -dest dc/MAIL\n# ssh\nIN SSH(ACCEPT) -i vmbr0  -source +Servers # from here\nGROUP"
    )
    assert body in moved
    assert edited(lambda one: one.move_rule(1, 0), moved) == TEXT


def test_a_rename_takes_those_along_that_use_the_name() -> None:
    draft = Draft(TEXT)
    draft.rename("group", "web", "www", "cluster")
    draft.rename("ipset", "servers", "hosts", "cluster")
    draft.rename("aliases", "mail", "smtp", "cluster")
    changed = TEXT.replace("GROUP Web", "GROUP www").replace("[group web]", "[group www]")
    changed = changed.replace("+Servers", "+hosts").replace("IPSET servers", "IPSET hosts")
    changed = changed.replace("Mail 192", "smtp 192").replace("dc/MAIL", "dc/smtp").replace("!mail", "!smtp")
    assert draft.text() == changed


@pytest.mark.parametrize(
    ("own", "before", "after"),
    [
        ("", "IN ACCEPT -source +old", "IN ACCEPT -source +new"),
        ("", "IN ACCEPT -dest +DC/Old", "IN ACCEPT -dest +DC/new"),
        ("", "IN ACCEPT -dest +guest/old", "IN ACCEPT -dest +guest/old"),
        ("", "IN ACCEPT -dest old", "IN ACCEPT -dest old"),
        ("[IPSET old]\n", "IN ACCEPT -source +old", "IN ACCEPT -source +old"),
        ("[IPSET old]\n", "IN ACCEPT -source +dc/old", "IN ACCEPT -source +dc/new"),
        ("[IPSET new]\n", "IN ACCEPT -source +old", "IN ACCEPT -source +dc/new"),
    ],
)
def test_another_file_follows_a_name_of_the_clusters(own: str, before: str, after: str) -> None:
    text = f"{own}[RULES]\n{{}}"
    assert edited(lambda one: one.follow("ipset", "old", "new"), text.format(before)) == text.format(after)


def test_a_guests_name_that_is_another_does_not_take_over_what_meant_the_clusters() -> None:
    text = "[ALIASES]\nold 192.0.2.1\n[RULES]\nIN ACCEPT -source new -dest old\n"
    assert edited(lambda one: one.rename("aliases", "old", "new", "guest"), text) == (
        "[ALIASES]\nnew 192.0.2.1\n[RULES]\nIN ACCEPT -source dc/new -dest new\n"
    )


@pytest.mark.parametrize(
    ("edit", "error"),
    [
        (lambda one: one.insert_rule(0, {"type": "in"}), EditError),
        (lambda one: one.insert_rule(0, {"type": "in", "action": "DROP", "nope": "1"}), EditError),
        (lambda one: one.insert_rule(0, {"type": "in", "action": "DROP\nIN ACCEPT"}), EditError),
        (lambda one: one.insert_rule(0, {"type": "in", "action": "DROP", "comment": "a\nIN ACCEPT"}), EditError),
        (lambda one: one.change_rule(0, {"source": "192.0.2.1 #"}), EditError),
        (lambda one: one.change_rule(0, {"enable": "yes"}), EditError),
        (lambda one: one.change_rule(7, {}), NotFound),
        (lambda one: one.insert_rule(0, {"type": "in", "action": "DROP", "source": "a b"}), EditError),
        (lambda one: one.delete_rule(-1), NotFound),
        (lambda one: one.move_rule(7, 0), NotFound),
        (lambda one: one.insert_rule(0, {"type": "in", "action": "DROP"}, "none"), NotFound),
        (lambda one: one.set_option("enable", "1\n[RULES]"), EditError),
        (lambda one: one.put_alias("a b", "192.0.2.1"), EditError),
        (lambda one: one.put_alias("new"), EditError),
        (lambda one: one.put_alias("mail", comment="a\rb"), EditError),
        (lambda one: one.put_entry("none", "192.0.2.1"), NotFound),
        (lambda one: one.put_entry("servers", "a]b"), EditError),
        (lambda one: one.delete_entry("servers", "192.0.2.9"), NotFound),
        (lambda one: one.delete_alias("none"), NotFound),
        (lambda one: one.create("group", "Web"), EditError),
        (lambda one: one.rename("group", "none", "x", "cluster"), NotFound),
        (lambda one: one.rename("aliases", "mail", "a#b", "cluster"), EditError),
        (lambda one: one.delete("ipset", "none"), NotFound),
    ],
)  # fmt: skip
def test_what_cannot_be_written_changes_nothing(edit: Callable[[Draft], None], error: type[Exception]) -> None:
    draft = Draft(TEXT)
    with pytest.raises(error):
        edit(draft)
    assert draft.text() == TEXT


def test_rules_are_read_as_the_api_has_them() -> None:
    assert Draft(TEXT).rules() == [
        {"enable": "1", "type": "in", "macro": "SSH", "action": "ACCEPT", "iface": "vmbr0", "source": "+Servers",
         "comment": "from here"},
        {"enable": "0", "type": "out", "action": "DROP", "proto": "tcp", "dport": "25", "dest": "dc/MAIL"},
        {"enable": "1", "type": "group", "action": "Web", "iface": "vmbr1"},
        {"enable": "1", "type": "what", "action": "is"},
    ]  # fmt: skip


def test_a_digest_is_of_its_section_alone() -> None:
    draft = Draft(TEXT)
    rules, group, sets = draft.digest("rules"), draft.digest("group", "WEB"), draft.digest("ipset", "servers")
    draft.insert_rule(0, {"type": "in", "action": "DROP"})
    assert draft.digest("rules") != rules
    assert (draft.digest("group", "web"), draft.digest("ipset", "servers")) == (group, sets)


BLANKS = st.sampled_from(["", " ", "\t"])
RULES = st.sampled_from(
    [
        "IN ACCEPT", "  IN  ACCEPT   -p tcp -dport 22  # c",
        "|OUT DROP -source +two#x", "IN SSH(ACCEPT) -i x -log info",
        "GROUP gg -i vmbr1", "# a comment", "", "   ", "garbage", "IN", "FORWARD DROP -dest aa # äöü", "|", "IN (DROP)",
    ]
)  # fmt: skip
SECTIONS = {
    "[OPTIONS]": st.sampled_from(["enable: 1", "Policy_in:DROP ", "no colon", "# c", "", "ebtables : 1"]),
    "[ALIASES]": st.sampled_from(["aa 192.0.2.1", " bb  2001:db8::1 # x", "cc", "", "#aa 1"]),
    "[IPSET two]": st.sampled_from(["192.0.2.0/24", "! aa", "!192.0.2.1 #x", "", "dc/bb# y", "#"]),
    "[RULES]": RULES,
    "[group gg] # c": RULES,
    "[nonsense": RULES,
}


@st.composite
def files(draw: st.DrawFn) -> str:
    """Draw a file: sections in any order, some twice, either line end, with or without the last one."""
    lines = draw(st.lists(st.sampled_from(["# head", "", "stray"]), max_size=2))
    for header in draw(st.lists(st.sampled_from(sorted(SECTIONS)), max_size=6)):
        lines += [header, *draw(st.lists(SECTIONS[header], max_size=5))]
    end = draw(st.sampled_from(["\n", "\r\n"]))
    return end.join(lines) + draw(st.sampled_from(["", end]))


def undone(text: str, *edits: Callable[[Draft], None]) -> None:
    draft = Draft(text)
    for edit in edits:
        draft = Draft(draft.text())
        edit(draft)
    assert draft.text() == text


RULE = {"type": "in", "action": "ACCEPT", "comment": "new"}


@settings(max_examples=200, deadline=None)
@given(text=files(), at=st.integers(0, 8), to=st.integers(0, 8), group=st.sampled_from(["", "gg"]))
def test_edits_of_rules_are_undone_to_the_byte(text: str, at: int, to: int, group: str) -> None:
    draft = Draft(text)
    undone(text)
    if not draft.digest("rules") or "[group gg]" not in text or "[RULES]" not in text:
        return
    rules = draft.rules(group)
    at, to = min(at, len(rules)), min(to, len(rules))
    undone(text, lambda one: one.insert_rule(at, RULE, group), lambda one: one.delete_rule(at, group))
    if at == len(rules) or "action" not in rules[at]:
        return
    now = to - 1 if to > at else to
    back = at + 1 if now < at else at
    undone(text, lambda one: one.move_rule(at, to, group), lambda one: one.move_rule(now, back, group))
    was = rules[at]
    for key in was.keys() & {"dport", "source", "log", "iface", "comment", "type"}:
        new = {"type": "out" if was["type"] != "out" else "in"}.get(key, "new")
        changes = ({key: new}, {key: was[key]})
        if key == "type" and was["type"] not in ("in", "out"):
            continue
        undone(text, *(lambda one, values=values: one.change_rule(at, values, group=group) for values in changes))
    for key in {"dport", "source", "log", "iface", "comment"} - was.keys():
        undone(
            text,
            lambda one, key=key: one.change_rule(at, {key: "new"}, group=group),
            lambda one, key=key: one.change_rule(at, {}, [key], group=group),
        )
    if was["enable"] == "1":
        undone(
            text,
            lambda one: one.change_rule(at, {"enable": "0"}, group=group),
            lambda one: one.change_rule(at, {"enable": "1"}, group=group),
        )


@settings(max_examples=200, deadline=None)
@given(text=files())
def test_edits_of_names_and_options_are_undone_to_the_byte(text: str) -> None:
    undone(text, lambda one: one.create("ipset", "new", "c"), lambda one: one.delete("ipset", "new"))
    undone(text, lambda one: one.create("group", "new"), lambda one: one.delete("group", "new"))
    if "[OPTIONS]" in text:
        undone(text, lambda one: one.set_option("ips", "1"), lambda one: one.set_option("ips", None))
    if "[OPTIONS]" in text and "enable" in text:
        undone(text, lambda one: one.set_option("enable", "0"), lambda one: one.set_option("enable", "1"))
    if "[ALIASES]" in text:
        undone(text, lambda one: one.put_alias("new", "192.0.2.9"), lambda one: one.delete_alias("new"))
    if "[IPSET two]" in text:
        undone(text, lambda one: one.put_entry("two", "::9"), lambda one: one.delete_entry("two", "::9"))
        undone(
            text,
            lambda one: one.rename("ipset", "two", "new", "cluster"),
            lambda one: one.rename("ipset", "new", "two", "cluster"),
        )
    if "[group gg]" in text:
        undone(
            text,
            lambda one: one.rename("group", "gg", "new", "cluster"),
            lambda one: one.rename("group", "new", "gg", "cluster"),
        )


@given(text=files())
def test_what_is_edited_is_read_as_it_was_meant(text: str) -> None:
    changed = edited(lambda one: one.insert_rule(0, {"type": "out", "action": "REJECT", "comment": "first"}), text)
    rule = parse_cluster(changed, "cluster.fw").rules[0]
    assert (rule.direction, rule.action, rule.comment) == ("out", "REJECT", "first")
