"""What the firewall's files say otherwise than what is loaded."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Literal

from typing_extensions import TypedDict

from pvenetd.daemon.rule_files import RuleFiles
from pvenetd.daemon.store import Store
from pvenetd.firewall.difference import difference
from pvenetd.option import ZeroOne


class RuleChange(TypedDict):
    """A line that is new, or gone."""

    sign: Literal["+", "-"]
    path: str
    line: int
    section: str
    text: str
    counts: ZeroOne
    """Whether loading the files would make it so: a file that is broken counts as it was."""


def records(store: Store, files: RuleFiles, broken: Collection[str]) -> Iterator[RuleChange]:
    """Yield every line that is new, or gone; of a file that is *broken* (by its path), too: it counts as it was."""
    for name in sorted({*store.rule_names(), *files.texts()}):
        now, kept = store.rules(name), files.kept(name)
        for change in difference(kept.lines if kept else (), now.lines):
            yield {
                "sign": change.sign,
                "path": now.path,
                "line": change.said.line,
                "section": change.said.section,
                "text": change.said.text,
                "counts": int(now.path not in broken),
            }
