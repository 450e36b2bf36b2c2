"""Two texts of a firewall file, side by side."""

from __future__ import annotations

import pytest

from pvenetd.firewall.difference import difference
from pvenetd.firewall.sections import split

BEFORE = "[OPTIONS]\nenable: 1\n\n[IPSET web]\n192.0.2.1\n[RULES]\nIN ACCEPT -p tcp -dport 22 # ssh\n|IN DROP\n"


def changes(now: str, before: str = BEFORE) -> list[str]:
    return [
        f"{one.sign}{one.said.line} {one.said.section} {one.said.text}".rstrip()
        for one in difference(split(before), split(now))
    ]


@pytest.mark.parametrize(
    "now",
    [
        BEFORE,
        BEFORE.replace("# ssh", "# for everybody"),
        BEFORE.replace("IN ACCEPT", "\n# above\n  IN   ACCEPT"),
        BEFORE.replace("|IN DROP\n", ""),
        BEFORE.replace("[RULES]", "[rules]"),
        BEFORE.replace("\n", "\r\n"),
    ],
)
def test_comments_blanks_and_what_is_switched_off_are_no_difference(now: str) -> None:
    assert changes(now) == []


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (
            BEFORE.replace("22", "23"),
            ["-7 [RULES] IN ACCEPT -p tcp -dport 22", "+7 [RULES] IN ACCEPT -p tcp -dport 23"],
        ),
        (BEFORE.replace("|IN", "IN"), ["+8 [RULES] IN DROP"]),
        (BEFORE.replace("enable: 1", "enable: 0"), ["-2 [OPTIONS] enable: 1", "+2 [OPTIONS] enable: 0"]),
        (BEFORE.replace("[IPSET web]\n192.0.2.1\n", ""), ["-4 [IPSET web]", "-5 [IPSET web] 192.0.2.1"]),
        (f"{BEFORE}[group ssh]\nIN DROP\n", ["+9 [GROUP ssh]", "+10 [GROUP ssh] IN DROP"]),
    ],
)
def test_what_is_new_and_what_is_gone_is_told_with_its_line(now: str, told: list[str]) -> None:
    assert changes(now) == told
