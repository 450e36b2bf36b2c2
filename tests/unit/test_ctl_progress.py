"""What who waits at a terminal is shown."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from pvenetd.ctl.client import SOCKET, hint
from pvenetd.ctl.progress import Progress


def test_a_daemon_that_does_not_answer_is_told_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / SOCKET
    place.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:  # systemd's, while the daemon fails to start
        listening.bind(str(place))
        listening.listen()
        Progress(str(tmp_path)).show()
    assert " s: pvenetd does not answer yet" in capsys.readouterr().err


def test_where_to_look_is_told_of_the_daemon_that_systemd_runs() -> None:
    assert hint("/") == " (systemctl status pvenetd tells why)"
    assert hint("/tmp/lab") == ""
