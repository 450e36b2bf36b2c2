"""What the firewall's files say otherwise than what is loaded."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from pvenetd.daemon.rule_files import RuleFiles
from pvenetd.daemon.store import Store
from pvenetd.firewall.difference import difference


def records(store: Store, files: RuleFiles, broken: Collection[str]) -> Iterator[dict[str, Any]]:
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
