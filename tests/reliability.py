"""The table of faults and attacks, docs/reliability.md: what was tried, how often, and what happened.

A test that shows one is marked ``@pytest.mark.reliability("FAULT OR ATTACK", guarantee="…")``, both as plain text, and
may take the fixture ``outcome`` to tell how often it was tried and what was seen.  Each case of a test that says
nothing is a try.  `make test` ends with the table of all its parts in .cache/test/reliability.md.

  python -m tests.reliability     (`make reliability`) docs/reliability.md anew: the figures of the runs whose reports
                                  are in .cache/test, and where a test was not run those that the page had
"""

from __future__ import annotations

import ast
import json
import re
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/reliability.md"
REPORTS = ROOT / ".cache/test"
MARK, PROPERTY = "reliability", "reliability"

HEAD = """\
# What was tried, and what happened

Faults and attacks that the tests bring about, on real kernels and on a whole Debian host: a line a test, with what it
has seen. `make test` writes this table, `make reliability` takes the figures of the last run over into this page.
`make host` needs the package: `tests/build-deb`, and its path in `PVENET_DEB`.

Most lines that are not `make host`'s are tried once more on the Debian host, on the code as the package has installed
it: put `tests/lab/hostvm tests/lab/installed python3 -m` in place of `.venv/bin/python -m` there.

| fault or attack | how it is produced | times tried | what happened | guarantee |
|---|---|--:|---|---|
"""
_NEVER, _HELD, _BROKEN = "not run yet", "as guaranteed", "**FAILED**"
_WORLDS = {
    "host": "make host CMD='python3 -m pytest -m host {}'",
    "lab": "make lab CMD='.venv/bin/python -m pytest {}'",
    "": ".venv/bin/python -m pytest {}",
}
"""Where a test runs, by its mark, and the command that runs it."""


@dataclass(frozen=True, slots=True)
class Row:
    """A test that shows a fault or an attack: what it says of it, and what it has seen."""

    fault: str
    command: str
    tried: int
    seen: str
    guarantee: str

    @property
    def test(self) -> str:
        """Return the test's file and name."""
        return re.sub(r".*\s([^\s']+)'?$", r"\1", self.command)

    def __str__(self) -> str:
        cells = (self.fault, f"`{self.command}`", f"{self.tried:,}", self.seen, self.guarantee)
        return "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |\n"


@dataclass(slots=True)
class Outcome:
    """What a test says of its tries; asked once or several times, the tries are added up."""

    properties: list[tuple[str, object]]
    """Those of pytest's report on the test."""
    tried: int = 0

    def __call__(self, *, tried: int = 1, seen: str = "") -> None:
        """Count *tried* more tries, which ended as *seen*: some words with figures."""
        self.tried += tried
        self.properties.append((PROPERTY, json.dumps({"tried": self.tried, "seen": seen})))


@dataclass(slots=True)
class Seen:
    """What the reports have of a test."""

    tried: int = 0
    words: list[str] = field(default_factory=list)

    def row(self, marked: Row) -> Row:
        """Return the line of the test *marked*."""
        return replace(marked, tried=self.tried, seen="; ".join(dict.fromkeys(self.words)) or _HELD)


def marked(folder: Path = ROOT / "tests") -> dict[str, Row]:
    """Return the lines of all tests that are marked, by file and name, nothing of them run yet."""
    found: dict[str, Row] = {}
    for path in sorted(folder.rglob("test_*.py")):
        if f"mark.{MARK}" in (text := path.read_text()):
            for row in _marked(path, ast.parse(text)):
                found[row.test] = row
    return found


def _marked(path: Path, tree: ast.Module) -> Iterator[Row]:
    """Yield the lines of a module's marked tests."""
    common = "".join(ast.unparse(node) for node in tree.body if isinstance(node, ast.Assign) and _is_pytestmark(node))
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        marks = common + "".join(ast.unparse(one) for one in node.decorator_list if not _has_cases(one))
        world = next(name for name in _WORLDS if not name or f"mark.{name}" in marks)
        for mark in node.decorator_list:
            if isinstance(mark, ast.Call) and ast.unparse(mark.func) == f"pytest.mark.{MARK}":
                (fault,), words = mark.args, {one.arg: ast.literal_eval(one.value) for one in mark.keywords}
                command = _WORLDS[world].format(f"{path.relative_to(ROOT)}::{node.name}")
                yield Row(ast.literal_eval(fault), command, 0, _NEVER, words["guarantee"])


def _is_pytestmark(node: ast.Assign) -> bool:
    return any(isinstance(target, ast.Name) and target.id == "pytestmark" for target in node.targets)


def _has_cases(node: ast.expr) -> bool:
    return "parametrize" in ast.unparse(node)


def written(page: Path = PAGE) -> dict[str, Row]:
    """Return the lines that a page has, by file and name of their tests; between conflict markers, too."""
    found: dict[str, Row] = {}
    for line in page.read_text().splitlines() if page.exists() else ():
        cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) == 5 and cells[1].startswith("`"):
            row = Row(cells[0], cells[1].strip("`"), int(cells[2].replace(",", "")), cells[3], cells[4])
            found[row.test] = row
    return found


def reported(reports: Iterable[Path]) -> dict[str, Seen]:
    """Return what pytest's *reports* say of tests, by file and name; of all kernels they ran on together."""
    found: dict[str, Seen] = {}
    for report in reports:
        try:
            cases = list(ET.parse(report).iter("testcase"))
        except (OSError, ET.ParseError):
            continue
        for case in cases:
            name = f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name', '').partition('[')[0]}"
            _add(found.setdefault(name, Seen()), case)
    return found


def _add(seen: Seen, case: ET.Element) -> None:
    said = [json.loads(one.get("value", "")) for one in case.iter("property") if one.get("name") == PROPERTY]
    if any(child.tag == "skipped" for child in case):
        return
    seen.tried += said[-1]["tried"] if said else 1
    seen.words += [one["seen"] for one in said if one["seen"]]
    if any(child.tag in {"failure", "error"} for child in case):
        seen.words.append(_BROKEN)


def page(rows: Iterable[Row]) -> str:
    """Return the page with these lines."""
    return HEAD + "".join(map(str, sorted(rows, key=lambda row: row.test)))


def of_a_run(reports: Iterable[Path]) -> str:
    """Return the page of what was just run: *reports* and nothing else."""
    seen = reported(reports)
    return page(seen[test].row(row) if test in seen else row for test, row in marked().items())


def main() -> int:
    """Write the page anew; return the exit status."""
    seen, had = reported(sorted(REPORTS.glob("*.xml"))), written()
    rows = []
    for test, row in marked().items():
        old = had.get(test, row)
        rows.append(seen[test].row(row) if test in seen else replace(row, tried=old.tried, seen=old.seen))
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(rows))
    missing = [row.test for row in rows if not row.tried]
    print(f"{PAGE.relative_to(ROOT)}: {len(rows)} tests" + "".join(f"\n  {_NEVER}: {test}" for test in missing))
    return 0


if __name__ == "__main__":
    sys.exit(main())
