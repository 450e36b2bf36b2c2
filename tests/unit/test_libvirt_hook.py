"""A libvirtd that was there before our hook does not call it, and that is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pvenetd.sources.libvirt_hook import HOOK, is_unknown


@pytest.mark.parametrize("daemon", ["libvirtd", "virtqemud"])
@pytest.mark.parametrize(
    ("started", "heard", "unknown"),
    [
        pytest.param(-100, None, True, id="before the hook came"),
        pytest.param(-100, -50, False, id="before a newer hook came, and has called the one before"),
        pytest.param(-100, -150, True, id="and the one that called it was another"),
        pytest.param(+100, None, False, id="after it came"),
        pytest.param(None, None, False, id="not at all"),
    ],
)
def test_who_started_before_the_hook_came(
    tmp_path: Path, daemon: str, started: int | None, heard: int | None, unknown: bool
) -> None:
    hook, pid = tmp_path / HOOK, tmp_path / f"run/{daemon}.pid"
    for place in (hook, pid):
        place.parent.mkdir(parents=True)
    hook.touch()
    came = hook.stat().st_ctime
    if started is not None:
        pid.touch()
        os.utime(pid, (came + started, came + started))
    assert is_unknown(tmp_path, came + heard if heard is not None else 0.0) is unknown


def test_without_a_hook_there_is_nothing_to_know(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/libvirtd.pid").touch()
    assert not is_unknown(tmp_path, 0.0)
