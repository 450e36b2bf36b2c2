"""Feed readers with what hypothesis makes of what they know: `python -m tests.fuzz.readers [-s SECONDS] [TARGET]...`.

Each target (`tests.fuzz.targets`) has a process of its own, all at a time, for SECONDS each.  It begins with what is
in tests/fuzz/corpus/TARGET, then takes these apart, puts them together anew, and puts in what has broken programs
before.  What breaks one is made as small as can be and written to .cache/fuzz: mended, it belongs into the corpus.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import cast

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tests.fuzz.targets import TARGETS, Target

CHECKOUT = Path(__file__).resolve().parent.parent.parent
CORPUS, FOUND = CHECKOUT / "tests/fuzz/corpus", CHECKOUT / ".cache/fuzz"
SECONDS = 30.0
SLOWEST = 60.0
"""Seconds of the processor's time for one example: what takes longer grows faster than what it is given."""
BATCH = 50
"""Examples between two looks at the clock."""
_EVIL = (
    *(
        b"\0",
        b"\n",
        b"\r",
        b"\\\n",
        b"\xff",
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\xf0\x9f\x98\x80",
        b"\xe2\x80\xae",
        b"\x85",
    ),
    *(
        b"../",
        b"/",
        b"$(x)",
        b"`x`",
        b";",
        b"|",
        b"&",
        b"%s",
        b"%n",
        b"'",
        b'"',
        b"*",
        b"{",
        b"}",
        b"[",
        b"]",
        b"<",
        b">",
    ),
    *(b"-1", b"0", b"4294967296", b"99999999999999999999", b"1e999", b"NaN", b"0x10", b"\xd9\xa1", b"1_0", b" " * 20),
    *(b'"\\ud800"', b"\\u0000", b"::", b"0.0.0.0/0", b"fe80::1%eth0", b"::ffff:192.0.2.1", b"a" * 300, b"[" * 2000),
    *(b"<!DOCTYPE x [<!ENTITY a 'b'>]>", b"&a;", b"&#0;", b"]]>", b"<a>" * 300),
)


def known(target: str) -> list[bytes]:
    """Return the corpus of *target*, in a fixed order."""
    return [path.read_bytes() for path in sorted((CORPUS / target).iterdir())]


def examples(corpus: list[bytes]) -> SearchStrategy[bytes]:
    """Return what draws an example: pieces of what is known, what is evil, and chance."""
    lines = sorted({line for one in corpus for line in one.splitlines(keepends=True)})
    words = sorted({word for line in lines for word in line.replace(b",", b" ").replace(b'"', b" ").split()})
    token = st.sampled_from(words) | st.sampled_from(_EVIL) | st.binary(max_size=8)
    edit = st.tuples(st.integers(0, 1 << 16), st.integers(0, 40), token | st.just(b""))
    edited = st.builds(_edited, st.sampled_from(corpus), st.lists(edit, min_size=1, max_size=6))
    shuffled = st.lists(st.sampled_from(lines) | token, max_size=12).map(b"".join)
    twice = st.builds(lambda one, times: one * times, st.sampled_from(corpus), st.integers(2, 40))
    return edited | edited | shuffled | st.binary(max_size=200) | twice


def _edited(data: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    for at, size, new in edits:
        place = at % (len(data) + 1)
        data = data[:place] + new + data[place + size :]
    return data


def tried(target: Target, data: bytes) -> None:
    """Have *target* take *data*, in bounded time."""
    began = time.process_time()
    target(data)
    assert (took := time.process_time() - began) < SLOWEST, f"{took:.1f} s of the processor for {len(data)} bytes"


class Batch:
    """Some examples for a target, until one fails or the time is up."""

    def __init__(self, target: Target, deadline: float) -> None:
        self._target, self._deadline = target, deadline
        self.count = 0
        self.last = b""
        """The last one that failed: hypothesis ends with the smallest."""

    def run(self, corpus: list[bytes], number: int) -> None:
        """Draw and try them, by chance from *number* on; raises what a bug raises."""
        bounds = settings(
            max_examples=BATCH,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.generate, Phase.shrink),
        )
        seed(number)(bounds(given(examples(corpus))(self._once)))()

    def _once(self, data: bytes) -> None:
        if time.monotonic() > self._deadline and not self.last:
            return
        self.count += 1
        try:
            tried(self._target, data)
        except BaseException:
            self.last = data
            raise


def run(name: str, seconds: float, number: int) -> int:
    """Feed one target for *seconds*, by chance from *number* on; return how many examples it took."""
    corpus, count = known(name), 0
    with cast("AbstractContextManager[Target]", TARGETS[name]()) as target:
        for data in corpus:
            tried(target, data)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            batch = Batch(target, deadline)
            try:
                batch.run(corpus, number)
            except BaseException:
                FOUND.mkdir(parents=True, exist_ok=True)
                (FOUND / f"{name}-{number}").write_bytes(batch.last)
                raise
            number += 1
            count += batch.count
    return count


def main(words: list[str]) -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-s", "--seconds", type=float, default=SECONDS)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("target", nargs="*", choices=[*TARGETS, []])
    told = parser.parse_args(words)
    wanted = told.target or list(TARGETS)
    if len(wanted) == 1:
        print(f"{wanted[0]:<11} {run(wanted[0], told.seconds, told.seed):>9,} examples", flush=True)
        return 0
    print(f"seed {told.seed}: python -m tests.fuzz.readers -s {told.seconds:g} --seed {told.seed}", flush=True)
    command = [sys.executable, "-m", "tests.fuzz.readers", "-s", str(told.seconds), "--seed", str(told.seed)]
    running = [subprocess.Popen([*command, one], cwd=CHECKOUT) for one in wanted]
    return max(one.wait() for one in running)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
