"""Run everything that proves the project, in parts, and sum up: `make test` ends here.

Two parts run side by side (the machines this is meant for have two cores); the lab's kernel and
Debian host are built meanwhile at low priority, if they are not there yet.  A part's output
goes to .cache/test/PART.log, and is shown if it fails.  The run fails if a test failed or was
skipped, or if a part ran none.  At the end stands, in few lines, why each test failed, for who
keeps the end of the output alone; the last line is "N passed, N failed", with the skipped if any.
What tests of faults and attacks have seen goes to .cache/test/reliability.md (tests/reliability.py).

Parts that say so run only where they are named (tests/parts.py).

  python -m tests.run [PART]...    only these parts, and what they need
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from pathlib import Path

from tests import reliability
from tests.parts import PARTS, ROOT, TIME_LIMIT, Part

OUT = ROOT / ".cache" / "test"

SLOTS = 2
"""Parts at a time, besides the builds."""

PROGRESS = 30.0
"""Seconds between two lines that say what is running."""

LOG_LINES = 400
"""Lines of a failed part's log that are shown."""

WHAT_LINES, WHERE_LINES = 15, 45
"""Lines of what a failed test says, and of where it says it and what its processes said, that are shown at the end."""

WIDTH = 300
"""Characters of such a line."""


@dataclass(slots=True)
class Result:
    """What became of a part."""

    part: Part
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    remarks: list[str] = field(default_factory=list)
    """The names of tests that failed or were skipped, or what else was wrong."""
    reasons: list[str] = field(default_factory=list)
    """Why they failed, in a few lines each."""

    @property
    def good(self) -> bool:
        """Whether nothing failed, nothing was skipped, and something ran."""
        return not self.failed and not self.skipped and (self.passed > 0 or self.part.counts == "none")


def main(names: list[str]) -> int:
    """Run the parts named, or all, and return the exit status."""
    if os.geteuid() != 0:
        print("the tests make network namespaces: run them as root", file=sys.stderr)
        return 1
    if unknown := set(names) - {part.name for part in PARTS}:
        print(f"no such part: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    os.chdir(ROOT)
    OUT.mkdir(parents=True, exist_ok=True)
    run = Run(_wanted(names))
    try:
        results = asyncio.run(run.all())
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 128 + signal.SIGINT
    reports = [_report(it.part) for it in results if it.part.counts == "junit"]
    (OUT / "reliability.md").write_text(reliability.of_a_run(reports))
    return _summary(results, run.seconds())


def _wanted(names: list[str]) -> list[Part]:
    """Return the parts *names*, else all that run unnamed, and what they need, in the order of `PARTS`."""
    wanted = set(names) or {part.name for part in PARTS if not part.only_named}
    for part in reversed(PARTS):
        if part.name in wanted:
            wanted |= set(part.needs)
    return [part for part in PARTS if part.name in wanted]


class Run:
    """One run of some parts."""

    def __init__(self, parts: list[Part]) -> None:
        self.parts = parts
        self.started = time.monotonic()
        self.slots = asyncio.Semaphore(SLOTS)
        self.groups = {part.group: asyncio.Lock() for part in parts if part.group}
        self.tasks: dict[str, asyncio.Task[Result]] = {}

    def seconds(self) -> float:
        """Return how long this run takes so far."""
        return time.monotonic() - self.started

    async def all(self) -> list[Result]:
        """Run all parts, as many at a time as may be, and return their results."""
        if this := asyncio.current_task():
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
        async with asyncio.TaskGroup() as group:
            for part in self.parts:
                self.tasks[part.name] = group.create_task(self._when_ready(part))
        return [task.result() for task in self.tasks.values()]

    async def _when_ready(self, part: Part) -> Result:
        needs = [await self.tasks[need] for need in part.needs]
        if lost := [need.part.name for need in needs if not need.good]:
            return Result(part, failed=1, remarks=[f"not run: {', '.join(lost)} failed"])
        if part.counts == "none":
            return await self._run(part)
        async with self.groups.get(part.group, asyncio.Lock()), self.slots:
            return await self._run(part)

    async def _run(self, part: Part) -> Result:
        self._say(part, f"started: {part.what}")
        started = time.monotonic()
        with _log(part).open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *_command(part),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **part.environment()},
            )
        progress = asyncio.create_task(self._progress(part))
        try:
            async with asyncio.timeout(TIME_LIMIT):
                status: int | None = await process.wait()
        except TimeoutError:
            status = None
        finally:
            progress.cancel()
            await _end(process)
        result = _result(part, status, time.monotonic() - started)
        self._say(part, _outcome(result))
        if not result.good:
            _show_log(part)
        return result

    async def _progress(self, part: Part) -> None:
        """Say what a part has printed last, now and then."""
        while True:
            await asyncio.sleep(PROGRESS)
            lines = _log_lines(part)
            self._say(part, f"… {lines[-1][:100] if lines else ''}")

    def _say(self, part: Part, text: str) -> None:
        print(f"[{self.seconds():5.0f} s] {part.name:<8} {text}", flush=True)


def _command(part: Part) -> list[str]:
    if part.counts == "none":
        return ["nice", *part.command]
    if part.counts == "one":
        return list(part.command)
    _report(part).unlink(missing_ok=True)
    return [*part.command, f"--junitxml={_report(part).relative_to(ROOT)}"]


async def _end(process: asyncio.subprocess.Process) -> None:
    """End what is left of a part: SIGTERM first, for what it cleans up."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            async with asyncio.timeout(10):
                await process.wait()
        except ProcessLookupError:
            return
        except TimeoutError:
            continue


def _result(part: Part, status: int | None, seconds: float) -> Result:
    result = Result(part, seconds=seconds)
    if part.counts == "junit":
        _count(result)
    elif part.counts == "one" and status == 0:
        result.passed = 1
    if status is None:
        result.failed += 1
        result.remarks.append(f"took longer than {TIME_LIMIT:g} s")
    elif part.counts == "junit" and not result.passed + result.failed + result.skipped:
        result.failed = 1
        result.remarks.append(f"ran no test (exit status {status})")
    elif status != 0 and not result.failed:
        result.failed = 1
        result.remarks.append(f"exit status {status}")
    if result.failed and not result.reasons:
        result.reasons.append("\n".join(_log_lines(part)[-WHERE_LINES:]))
    return result


def _count(result: Result) -> None:
    try:
        cases = list(ET.parse(_report(result.part)).iter("testcase"))
    except (OSError, ET.ParseError):
        return
    for case in cases:
        name = f"{case.get('classname', '')}::{case.get('name', '')}"
        outcome = next((child for child in case if child.tag in {"failure", "error", "skipped"}), None)
        if outcome is None:
            result.passed += 1
        elif outcome.tag == "skipped":
            result.skipped += 1
            result.remarks.append(f"SKIPPED {name}: {outcome.get('message', '')}")
        else:
            result.failed += 1
            result.remarks.append(f"FAILED {name}")
            result.reasons.append(f"{name}\n{_why(outcome)}")


def _why(outcome: ET.Element) -> str:
    """Return what a failed test says first, and where it ended."""
    message, text = outcome.get("message", "").splitlines(), (outcome.text or "").splitlines()
    lines = [*message[:WHAT_LINES], "…", *text[-WHERE_LINES:]]
    return "\n".join(line[:WIDTH] for line in lines)


def _summary(results: list[Result], seconds: float) -> int:
    for it in results:
        for reason in it.reasons:
            print("", *(f"{it.part.name} | {line}" for line in reason.splitlines()), sep="\n")
    print("\npart      passed  failed  skipped  seconds")
    for it in results:
        print(f"{it.part.name:<8}{it.passed:>8}{it.failed:>8}{it.skipped:>9}{it.seconds:>9.0f}  {it.part.what}")
    passed, failed, skipped = (sum(getattr(it, name) for it in results) for name in ("passed", "failed", "skipped"))
    print(f"{'all':<8}{passed:>8}{failed:>8}{skipped:>9}{seconds:>9.0f}\n")
    for it in results:
        for remark in it.remarks:
            print(f"{it.part.name}: {remark}")
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 0 if all(it.good for it in results) else 1


def _outcome(result: Result) -> str:
    if result.part.counts == "none" and result.good:
        return f"ready after {result.seconds:.0f} s"
    counts = f"{result.passed} passed, {result.failed} failed, {result.skipped} skipped"
    return f"{'ok' if result.good else 'NOT OK'}: {counts} in {result.seconds:.0f} s"


def _show_log(part: Part) -> None:
    for line in _log_lines(part)[-LOG_LINES:]:
        print(f"{part.name} | {line}")
    sys.stdout.flush()


def _log_lines(part: Part) -> list[str]:
    return _log(part).read_text(errors="replace").splitlines()


def _log(part: Part) -> Path:
    return OUT / f"{part.name}.log"


def _report(part: Part) -> Path:
    return OUT / f"{part.name}.xml"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
