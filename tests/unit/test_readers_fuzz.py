"""Readers and what they were fed with: the corpus, and files that are large or odd in every way somebody thought of."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pvenetd.daemon.store import Store
from pvenetd.drivers.files import Files
from pvenetd.errors import ConfigError
from pvenetd.settings import load
from tests.fuzz import targets
from tests.fuzz.readers import CORPUS, SLOWEST, known, tried

MIB = 1 << 20
PLAIN: dict[str, targets.Target] = {
    "interfaces": targets.interfaces,
    "firewall": targets.firewall,
    "nets": targets.nets,
    "domain": targets.domain,
    "monitor": targets.monitor,
}


@pytest.mark.parametrize("name", sorted(targets.TARGETS))
def test_what_has_broken_a_reader_once_breaks_none(name: str) -> None:
    assert {path.name for path in CORPUS.iterdir()} == targets.TARGETS.keys()
    with targets.TARGETS[name]() as target:
        for data in known(name):
            tried(target, data)


HUGE = {
    "interfaces: 10,000 stanzas": b"".join(b"iface d%d inet manual\n\n" % number for number in range(10_000)),
    "interfaces: a line of a megabyte": b"iface a inet static\n\taddress " + b"x" * MIB,
    "interfaces: 20,000 ports that are missing": b"iface a\n bridge-ports "
    + b" ".join(b"e%d" % number for number in range(20_000)),
    "interfaces: 10,000 lines that go on": b"iface a \\\n" * 10_000,
    "interfaces: 5,000 that inherit from each other": b"".join(
        b"iface d%d inherits d%d\n" % (number, number - 1) for number in range(5000)
    ),
    "firewall: 2,000 rules": b"[OPTIONS]\nenable: 1\n[RULES]\n" + b"IN ACCEPT -p tcp -dport 22\n" * 2_000,
    "firewall: a line of a megabyte": b"[RULES]\nIN ACCEPT -source " + b"x" * MIB,
    "firewall: 10,000 addresses in a rule": b"[RULES]\nIN ACCEPT -source " + b"192.0.2.1," * 10_000,
    "firewall: 4,000 addresses left out": b"[OPTIONS]\nenable: 1\n[IPSET a]\n0.0.0.0/1\n"
    + b"".join(b"!10.0.%d.%d\n" % divmod(number, 256) for number in range(4_000)),
    "nets: 10,000 models": b"net0: " + b"virtio," * 10_000,
    "nets: 10,000 NICs": b"".join(b"net%d: virtio\n" % number for number in range(10_000)),
    "domain: entities within entities": b"<!DOCTYPE a [<!ENTITY b 'bbbb'>"
    + b"".join(b"<!ENTITY b%d '&b;&b;&b;&b;'>" % number for number in range(50))
    + b"]><domain>&b49;</domain>",
    "domain: a file as an entity": b"<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><domain><name>&b;</name></domain>",
    "domain: 300,000 elements within each other": b"<a>" * 300_000,
    "domain: 4,000 NICs": b"<domain><name>a</name><uuid>c3c1ddb3-0000-4000-8000-000000000100</uuid><devices>"
    + b"<interface type='bridge'><source bridge='x'/><target dev='tap100i0'/></interface>" * 4_000
    + b"</devices></domain>",
    "monitor: a line of a megabyte": b'{"QMP":{}}\n{"return":{}}\n{"event":"' + b"x" * MIB + b'"}\n',
    "monitor: half a million lists within each other": b'{"QMP":{}}\n{"return":{}}\n' + b"[" * (MIB // 2) + b"\n",
}


@pytest.mark.parametrize("what", HUGE)
@pytest.mark.reliability(
    "files of 10,000 stanzas, rules or NICs, lines of a megabyte, entity bombs, endless nesting",
    guarantee="each is read or refused within a minute of a processor; nothing expands, nothing is fetched",
)
def test_what_is_huge_is_read_or_refused_in_bounded_time(what: str) -> None:
    tried(PLAIN[what.partition(":")[0]], HUGE[what])


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(path))


def _terabyte(path: Path) -> None:
    with path.open("wb") as made:
        made.truncate(1 << 40)


MAKE: dict[str, Callable[[Path], object]] = {
    "directory": Path.mkdir,
    "FIFO": os.mkfifo,
    "socket": _socket,
    "loop": lambda path: path.symlink_to(path),
    "device": lambda path: path.symlink_to("/dev/zero"),
    "too large": _terabyte,
}
FILES: dict[str, Callable[[Files], object]] = {
    "etc/network/interfaces": lambda files: Store(files).interfaces(),
    "etc/pvenetd/firewall/cluster.fw": lambda files: _told(Store(files).rules("cluster").problems),
    "etc/pvenetd/firewall/100.fw": lambda files: _told(Store(files).rules("100").problems),
    "etc/pvenetd/qemu-server/100.conf": lambda files: Store(files).guest(100),
    "etc/pvenetd/lxc/100.conf": lambda files: Store(files).guest(100),
    "etc/pvenetd/pvenetd.toml": lambda files: load(files.read),
}


def _told(problems: object) -> None:
    if problems:
        raise ConfigError(problems)  # type: ignore[arg-type]


@pytest.mark.parametrize("what", MAKE)
@pytest.mark.parametrize("name", FILES)
@pytest.mark.reliability(
    "a directory, FIFO, socket, device, link to itself or a terabyte in place of a file of configuration",
    guarantee="the file is named in the error; nobody waits for it",
)
def test_what_is_no_file_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, what: str) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    MAKE[what](path)
    began = time.process_time()
    with pytest.raises(ConfigError, match=path.name):
        FILES[name](Files(tmp_path))
    assert time.process_time() - began < SLOWEST
