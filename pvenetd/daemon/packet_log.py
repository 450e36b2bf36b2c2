"""The firewall's log: packets that rules log, in memory and in a file."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import UTC, datetime

from typing_extensions import TypedDict

from pvenetd.daemon.feed import Feed
from pvenetd.daemon.staging import Files
from pvenetd.firewall.log import Logged, line

PATH = "var/log/pvenetd/firewall.log"
_KEPT = 10_000
"""Lines in memory: some 15 MB."""

log = logging.getLogger("pvenetd.firewall")


class LoggedPacket(TypedDict):
    """A packet that a rule has logged."""

    id: int
    vmid: int
    """The guest whose rule it is, 0 for the host's own."""
    level: int
    """0 to 7, as syslog has them."""
    chain: str
    time: str
    what: str
    """What has become of it."""
    rule: str
    """The rule's ``FILE:LINE``."""
    packet: dict[str, str | int]
    """Its headers by name; a flag is 1."""
    text: str
    """The line in Proxmox VE's format."""


class PacketLog:
    """Takes what sources tell of logged packets."""

    def __init__(self, files: Files) -> None:
        self.lines = Feed(_KEPT)
        self.obstacle = ""
        """Why nothing is logged."""
        self._files = files
        self._writes = True

    def take(self, packets: Iterable[Logged], *, lost: bool = False) -> None:
        """Log *packets*; *lost* tells that there were more of them than could be kept."""
        now = datetime.now(UTC).astimezone()
        found = [one for one in (line(packet, now) for packet in packets) if one]
        for one in found:
            self.lines.add(one.record())
        texts = [str(one) for one in found]
        if lost:
            texts.append(
                f"0 4 - {now.strftime('%d/%b/%Y:%H:%M:%S %z')} packets were logged faster than they could be read"
            )
        if texts:
            self._write("".join(f"{text}\n" for text in texts).encode())

    def _write(self, data: bytes) -> None:
        """Append to the file: opened each time, so it may be moved away at any moment (logrotate(8))."""
        try:
            self._files.append(PATH, data)
        except OSError as error:
            if self._writes:
                log.warning("%s: %s: logged packets are in memory only", PATH, error.strerror or error)
            self._writes = False
        else:
            self._writes = True
