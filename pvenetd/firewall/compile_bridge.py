"""``<bridge>.fw`` → the chain of what is forwarded in one bridge, whoever its ports belong to.

Source: Proxmox VE's administration guide, chapter "Firewall", "VNet Firewall".
"""

from __future__ import annotations

from collections.abc import Iterator

from pvenetd.firewall.builtin import ESTABLISHED, NESTED, neighbours
from pvenetd.firewall.logs import Book, limit_of
from pvenetd.firewall.own import Writer, closing, file_name, nowhere
from pvenetd.firewall.resolve import Names
from pvenetd.firewall.ruleset import ARP, RARP, Chain, Piece, Rule
from pvenetd.firewall.screen import invalid
from pvenetd.firewall.syntax import Config


def bridge_piece(name: str, config: Config, cluster: Config, host: Config, names: Names) -> Piece | None:
    """Return the chain of the bridge *name*, None where its file does not switch it on.

    Raises ConfigError for what is wrong in its file.
    """
    if not config.require().flag("enable", default=False):
        return None
    names.require(config)
    rules = tuple(_rules(config, cluster, host, names))
    return Piece(f"bridge:{name}", (Chain("bridge", f"bridge-{name}", rules),), bridge=name)


def _rules(config: Config, cluster: Config, host: Config, names: Names) -> Iterator[Rule]:
    book = Book("forward", limit_of(cluster))
    yield ESTABLISHED
    yield NESTED
    if not host.flag("nf_conntrack_allow_invalid", default=False):
        yield invalid()
    # Without them nobody finds anybody, and no rule can name them.
    yield Rule("accept", ethertypes=(ARP, RARP), origin="arp")
    yield from neighbours(ndp=True)
    yield from Writer(file_name(config), names, book, nowhere).rules(config.rules)
    yield from closing(config, book, "ACCEPT", config.option("log_level_forward", ""))
