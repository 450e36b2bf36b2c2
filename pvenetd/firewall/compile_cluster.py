"""The cluster's sets and groups, and what is asked of every guest's packets: what the other pieces refer to.

They are always there, used or not: whoever comes to refer to them finds them, and nobody's own chains
change when they do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pvenetd.firewall.logs import Book, Way, limit_of
from pvenetd.firewall.own import Writer, file_name, group_chain, nowhere
from pvenetd.firewall.resolve import Names, named_sets
from pvenetd.firewall.ruleset import Chain, Piece, Rule, Table
from pvenetd.firewall.screen import blacklisted, invalid, smurfs, tcp_flags
from pvenetd.firewall.syntax import Config

WAYS: tuple[Way, ...] = ("in", "out", "forward")
_TABLES: tuple[Table, ...] = ("inet", "bridge")


def sets_piece(cluster: Config, names: Names) -> Piece | None:
    """Return the cluster's sets, None where there is none."""
    return Piece("sets", (), sets=named_sets(names, cluster)) if cluster.sets else None


def groups_piece(cluster: Config, host: Config, names: Names) -> Piece:
    """Return the security groups, for the host and for guests, and the chains that every guest's begin with."""
    return Piece("groups", (*_screens(cluster, host), *_groups(cluster, names)))


def _groups(cluster: Config, names: Names) -> Iterator[Chain]:
    limit = limit_of(cluster)
    for group in cluster.groups.values():
        for way in WAYS:
            rules = tuple(Writer(file_name(cluster), names, Book(way, limit), nowhere).rules(group.rules))
            yield from (Chain(table, group_chain(group.name, way), rules) for table in _TABLES)


def _screens(cluster: Config, host: Config) -> Iterator[Chain]:
    drop_invalid = [] if host.flag("nf_conntrack_allow_invalid", default=False) else [invalid()]
    yield Chain("bridge", "screen-in", (*drop_invalid, *screened("bridge", cluster, host)))
    yield Chain("bridge", "screen-out", tuple(drop_invalid))


def screened(table: Table, cluster: Config, host: Config) -> Iterator[Rule]:
    """Yield what drops packets to the host or to a guest, whatever their own rules say."""
    book = Book("in", limit_of(cluster))
    if "blacklist" in cluster.sets:
        yield from _told(book, blacklisted(), host.option("log_level_in", ""), "blacklist")
    if host.flag("nosmurfs", default=True):
        yield from _told(book, smurfs(table), host.option("smurf_log_level", ""), "smurf")
    if host.flag("tcpflags", default=False):
        yield from _told(book, tcp_flags(), host.option("tcp_flags_log_level", ""), "tcpflags")


def _told(book: Book, rules: Iterable[Rule], level: str, what: str) -> Iterator[Rule]:
    for rule in rules:
        yield from book.told(rule, level, f"{what} DROP")
