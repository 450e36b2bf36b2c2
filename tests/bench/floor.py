"""The kernel's own time for a plug or an unplug: the same changes by one `ip -batch` and one `nft -f`.

Of a NIC with a VLAN also one `bridge -batch`, as ip(8) sets none.  What is written below /proc/sys is written
by the caller, without a program.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pvenetd.firewall import listing, nft
from pvenetd.firewall.exchange import exchange

Command = list[object]


@dataclass(frozen=True, slots=True)
class Floor:
    """The batches for one guest's NIC."""

    place: Path
    """Where their files go."""
    vmid: int
    bridge: str
    compiled: str
    """The guest's rules with what they stand on, as `pvenetctl firewall compile` prints them."""
    tag: int | None = None

    @property
    def tap(self) -> str:
        """Return the NIC's port."""
        return f"tap{self.vmid}i0"

    def base(self) -> list[Command]:
        """Return what loads, alone, what the guest's rules stand on; it is there already when a guest is plugged.

        What was loaded before goes: loaded over itself it would have each of its rules twice, and nft lists them all.
        """
        there = listing.pieces(self.compiled)
        return self._rules(
            "base", nft.render(there[name].resource(name) for name in there if name != f"vm:{self.vmid}")
        )

    def up(self) -> list[Command]:
        """Return what plugs the NIC: its rules first."""
        piece, mac = f"vm:{self.vmid}", "fe:" + (self.vmid << 8).to_bytes(5, "big").hex(":")
        links = (
            f"link set dev {self.tap} address {mac} group {self.vmid} alias pvenetd:{piece}\n"
            f"link set dev {self.tap} master {self.bridge}\n"
            f"link set dev {self.tap} up\n"
        )
        vlans = f"vlan delete dev {self.tap} vid 1\nvlan add dev {self.tap} vid {self.tag} pvid untagged\n"
        return [
            *self._rules("rules", listing.pieces(self.compiled)[piece].resource(piece).text),
            ["write", f"/proc/sys/net/ipv6/conf/{self.tap}/disable_ipv6", "1"],
            self._batch("ip", "up", links),
            *([self._batch("bridge", "vlans", vlans)] if self.tag else ()),
        ]

    def down(self, *, rules: bool) -> list[Command]:
        """Return what unplugs it: its *rules* last, if they go."""
        links = f'link set dev {self.tap} down\nlink set dev {self.tap} nomaster alias ""\n'
        return [self._batch("ip", "down", links), *self.gone(rules=rules)]

    def gone(self, *, rules: bool) -> list[Command]:
        """Return what takes its *rules* away, if they are to go."""
        if not rules:
            return []
        name, there = f"vm:{self.vmid}", listing.pieces(self.compiled)
        return self._rules("gone", exchange(there[name].resource(name), there, keep=False).script)

    def _rules(self, name: str, text: str) -> list[Command]:
        return [["nft", "-f", self._file(name, text)]]

    def _batch(self, program: str, name: str, text: str) -> Command:
        return [program, "-batch", self._file(name, text)]

    def _file(self, name: str, text: str) -> Path:
        path = self.place / name
        path.write_text(text)
        return path
