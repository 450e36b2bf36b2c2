"""Packets of one interface, by tcpdump(1) or dumpcap(1); for who may not capture himself, by the daemon."""

from __future__ import annotations

import argparse
import os
import socket
import sys
from typing import NoReturn

from pvenetd.ctl.client import HOST, NoDaemonError, RefusedError, Request, ask, stream
from pvenetd.ctl.command import Command, Takes, number
from pvenetd.ctl.page import clean
from pvenetd.names import is_ifname

PATH = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin"
"""Where the programs are looked for, after the caller's own PATH: tcpdump is in none of an ordinary user's."""

_MOST = 100_000_000
_LONGEST = {"seconds": 3600, "max_bytes": 10 << 30}
"""As much as the daemon captures for one who asks it."""


def _arguments(parser: Takes) -> None:
    parser.add_argument(
        "iface", metavar="IFACE", type=_interface, help="an interface, or a guest's NIC: vm/100/net0 (vm/100: net0)"
    )
    parser.add_argument("-w", "--write", metavar="FILE", help="write packets to a file; - is standard output")
    parser.add_argument("-c", "--count", metavar="PACKETS", type=_count, help="end after so many packets")
    parser.add_argument("filter", metavar="FILTER", nargs="*", help="which packets: pcap-filter(7), checked first")


def _interface(text: str) -> str:
    kind, _, rest = text.partition("/")
    if kind == "vm" and rest:
        vmid, _, nic = rest.partition("/")
        number(vmid)
        index = (nic or "net0").removeprefix("net")
        if (nic and not nic.startswith("net")) or index not in map(str, range(32)):
            raise argparse.ArgumentTypeError(f"'{text}' should be vm/VMID/netN")
        return f"vm/{vmid}/net{index}"
    if not is_ifname(text) or text.startswith("-"):
        raise argparse.ArgumentTypeError(f"'{text}' is no name of an interface, nor vm/VMID/netN")
    return text


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 1 << 31:
        raise argparse.ArgumentTypeError(f"'{text}' should be a number of packets")
    return int(text)


def _capture(found: argparse.Namespace) -> int:
    """Become the program that captures, or tell why not.  Raises `NoDaemonError`, `NoAnswerError`."""
    try:
        if not _may_capture():
            try:
                return _through(found)
            except NoDaemonError:
                pass  # the program says what it may not, or has abilities of its own
        words = _command(found)
    except LookupError as error:
        sys.stderr.write(f"{clean(str(error.args[0]))}\n")
        return 1
    return _become(words)


def _may_capture() -> bool:
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()
    except PermissionError:
        return False
    return True


def _through(found: argparse.Namespace) -> int:
    """Have the daemon capture.  Raises LookupError, `NoDaemonError`, `NoAnswerError`."""
    program = _found("tcpdump") or ""
    if not found.write and not program:
        raise LookupError("tcpdump is not installed: apt install tcpdump, or write to a file (-w FILE)")
    asked = {"target": found.iface, "filter": " ".join(found.filter), "count": found.count or _MOST, **_LONGEST}
    try:
        coming = stream(found.root, Request("POST", ("capture",), asked))
    except RefusedError as error:
        wrong = [f"{name}: {reason}" for name, reason in error.body.get("errors", {}).items()]
        raise LookupError("\n".join(wrong or [str(error)])) from None
    sys.stderr.write("pvenetd captures, for an hour at most; Ctrl-C ends it\n")
    if not found.write:
        os.dup2(coming.fileno(), 0)
        _become([program, "-n", "-e", "-l", "-r", "-"])
    with coming:
        return _write(coming, found.write)


def _write(coming: socket.socket, name: str) -> int:
    """Write what comes into a file, until it ends or is interrupted.  Raises LookupError."""
    try:
        with open(sys.stdout.fileno() if name == "-" else name, "wb", 0, closefd=name != "-") as file:
            while data := coming.recv(1 << 16):
                file.write(data)
    except (KeyboardInterrupt, BrokenPipeError):
        return 0
    except OSError as error:
        raise LookupError(f"{name}: {error.strerror}") from None
    return 0


def _become(words: list[str]) -> NoReturn:
    """Run another program in the place of this one: signals and pipes are its own."""
    sys.stdout.flush()
    os.execv(words[0], words)  # noqa: S606


def _command(found: argparse.Namespace) -> list[str]:
    """Return what captures.  Raises LookupError, `NoDaemonError`, `NoAnswerError`."""
    device = found.iface
    if device.startswith("vm/"):
        _, vmid, nic = device.split("/")
        status, body = ask(found.root, Request("GET", ("vms", vmid)))
        taps = {one["nic"]: one["tap"] for one in (body.get("data") or {}).get("nics", ())}
        if status >= 400 or nic not in taps:  # HTTP: refused
            raise LookupError(str(body.get("message")) if status >= 400 else f"guest {vmid} has no {nic}")
        device = taps[nic]
    if not os.path.exists(f"/sys/class/net/{device}"):  # noqa: PTH110 (pathlib costs ten milliseconds)
        raise LookupError(
            f"no interface {device} is there" + (": does the guest run?" if device != found.iface else "")
        )
    if words := _tcpdump(device, found) or _dumpcap(device, found):
        return words
    raise LookupError("neither tcpdump nor dumpcap is installed: apt install tcpdump")


def _tcpdump(device: str, found: argparse.Namespace) -> list[str] | None:
    """Return the command; it compiles the filter before it opens the file."""
    if not (program := _found("tcpdump")):
        return None
    words = [program, "-i", device, "-n", *(["-c", str(found.count)] if found.count else [])]
    words += ["-U", "-w", found.write] if found.write else ["-e", "-l"]
    return [*words, "--", *found.filter]


def _dumpcap(device: str, found: argparse.Namespace) -> list[str] | None:
    """Return the command, where packets are only to be written: it cannot print any."""
    if not found.write or not (program := _found("dumpcap")):
        return None
    words = [program, "-q", "-i", device, *(["-c", str(found.count)] if found.count else []), "-w", found.write]
    return [*words, *(["-f", " ".join(found.filter)] if found.filter else [])]


def _found(program: str) -> str | None:
    import shutil

    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:{PATH}")


COMMANDS = (
    Command(
        ("capture",),
        "print or write the packets of an interface, by tcpdump or dumpcap",
        lambda _: Request("GET", ("version",), below=HOST),
        lambda *_: (),
        _arguments,
        offline=True,
        rest="filter",
        itself=_capture,
    ),
)
