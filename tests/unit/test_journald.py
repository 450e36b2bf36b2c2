"""What is logged comes to the journal with fields that one can ask for; a socket stands at the journal's place."""

from __future__ import annotations

import logging
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pvenetd.drivers.journald import Handler, is_journal


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "socket"))
        yield listening


@pytest.fixture
def log(journal: socket.socket) -> Iterator[logging.Logger]:
    found, handler = logging.getLogger("pvenetd.test"), Handler(journal.getsockname())
    found.addHandler(handler)
    found.setLevel(logging.DEBUG)
    found.propagate = False
    yield found
    found.removeHandler(handler)
    handler.close()


def told(journal: socket.socket) -> dict[str, str]:
    """Return the fields of the next entry."""
    data, found = journal.recv(1 << 18), {}
    while data:
        line, _, data = data.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            (length,) = struct.unpack_from("<Q", data)
            value, data = data[8 : 8 + length], data[9 + length :]
        found[name.decode()] = value.decode()
    return found


@pytest.mark.parametrize(
    ("level", "facts", "wanted"),
    [
        (
            logging.INFO,
            {"owner": "vm:100", "op": "~ link tap100i0 master=vmbr0", "origin": "/etc/pvenetd/qemu-server/100.conf:3"},
            {
                "OWNER": "vm:100",
                "VMID": "100",
                "OP": "~ link tap100i0 master=vmbr0",
                "FILE": "/etc/pvenetd/qemu-server/100.conf",
                "LINE": "3",
                "PRIORITY": "6",
            },
        ),
        (logging.WARNING, {"owner": "interfaces", "origin": ""}, {"OWNER": "interfaces", "PRIORITY": "4"}),
        (
            logging.ERROR,
            {"who": "root", "where": "socket", "what": "GET /api2/json/version", "status": 200, "outcome": "done"},
            {
                "WHO": "root",
                "WHERE": "socket",
                "WHAT": "GET /api2/json/version",
                "STATUS": "200",
                "OUTCOME": "done",
                "PRIORITY": "3",
            },
        ),
        (logging.DEBUG, {}, {"PRIORITY": "7"}),
    ],
    ids=["an operation of a guest's", "an owner alone", "a request", "nothing"],
)
def test_an_entry_has_the_fields_of_what_it_tells(
    journal: socket.socket, log: logging.Logger, level: int, facts: dict[str, Any], wanted: dict[str, str]
) -> None:
    log.log(level, "said %s", "so", extra=facts)
    usual = {"MESSAGE": "said so", "SYSLOG_IDENTIFIER": "pvenetd", "LOGGER": "pvenetd.test"}
    assert told(journal) == usual | wanted


@pytest.mark.parametrize("text", ["one\ntwo\nOWNER=forged", "OWNER=forged", "caf\udce9", "x" * (1 << 20)])
def test_no_text_is_taken_for_a_field(journal: socket.socket, log: logging.Logger, text: str) -> None:
    log.info("%s", text, extra={"owner": "vm:100\nVMID=101"})
    found = told(journal)
    assert found["OWNER"] == "vm:100\nVMID=101"
    assert found["MESSAGE"].startswith(text[:3])
    assert set(found) == {"MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER", "LOGGER", "OWNER", "VMID"}


def test_what_the_journal_does_not_take_is_on_standard_error(
    journal: socket.socket, log: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(journal.getsockname()).unlink()
    log.info("said")
    assert capsys.readouterr().err == "said\n"


def test_the_journal_is_known_by_its_stream() -> None:
    read, write = os.pipe()
    own = os.fstat(write)
    assert is_journal({"JOURNAL_STREAM": f"{own.st_dev}:{own.st_ino}"}, write)
    assert not is_journal({"JOURNAL_STREAM": "1:2"}, write)
    assert not is_journal({}, write)
    os.close(read)
    os.close(write)
    assert not is_journal({"JOURNAL_STREAM": "1:2"}, write)
