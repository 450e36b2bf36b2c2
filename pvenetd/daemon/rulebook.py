"""The firewall files that are about nobody in particular, cluster.fw, host.fw and bridges', as they count together.

A file counts as it is where it is right by itself and with the others; else as it was loaded last.  Where it never
was right, nothing is opened by it: cluster.fw counts as ``enable: 1`` with all policies DROP, which has guests
filtered by their own rules; host.fw likewise: the host is reached by its own network alone, begins nothing itself and
forwards nothing between bridges, whatever cluster.fw says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from pvenetd.daemon.rule_files import RuleFiles
from pvenetd.daemon.store import Store
from pvenetd.errors import ConfigError, Problem
from pvenetd.firewall.syntax import Config
from pvenetd.names import is_ifname

CLUSTER, HOST = "cluster", "host"
_CLOSED = "[OPTIONS]\nenable: 1\npolicy_forward: DROP\n"
"""What counts for a bridge's file that never was right."""
CLOSED_CLUSTER = f"{_CLOSED}policy_out: DROP\n"
"""What counts for a cluster.fw that never was right, and for the host whose own file never was."""


@dataclass(frozen=True, slots=True)
class Common:
    """The files as they count."""

    configs: Mapping[str, Config]
    problems: Mapping[str, tuple[Problem, ...]] = field(default_factory=dict)
    """File → why it does not count as it is."""
    closed: frozenset[str] = frozenset()
    """Files that never were right."""

    @property
    def cluster(self) -> Config:
        """Return what counts for cluster.fw."""
        return self.configs[CLUSTER]

    @property
    def host(self) -> Config:
        """Return what counts for host.fw."""
        return self.configs[HOST]

    @property
    def bridges(self) -> dict[str, Config]:
        """Return what counts for each bridge's file."""
        return {name: config for name, config in self.configs.items() if name not in (CLUSTER, HOST)}

    about_guests: object = None
    """All of cluster.fw that guests' chains are made of, but the groups' rules: as long as it is the same, they are."""

    @property
    def enabled(self) -> bool:
        """Return whether the firewall is on."""
        return self.cluster.flag("enable", default=False)

    @property
    def good(self) -> dict[str, Config]:
        """Return the files that count as they are."""
        return {name: config for name, config in self.configs.items() if name not in self.problems}


class Rulebook:
    """Finds out which texts count; as long as the files are the same, the answer is."""

    def __init__(self, store: Store, files: RuleFiles, compiled: Callable[[Mapping[str, Config]], object]) -> None:
        self._store = store
        self._files = files
        self._compiled = compiled
        """Compiles the files together; raises `ConfigError`."""
        self._known: tuple[dict[str, tuple[Config | None, bool]], Common] | None = None
        self._there: list[str] | None = None
        """The files that were there when they were last listed."""

    def common(self, *, listed: bool = True) -> Common:
        """Return the files as they count now.

        To list all guests' files for bridges' among them takes a millisecond beside 1,000 guests: who asks about
        a guest does without (not *listed*), and gets those bridges' files that were there when last listed.
        """
        if listed or self._there is None:
            self._there = self._names()
        counted = {name: self._files.now(name) for name in self._there}
        key = {name: (one.config, bool(one.problems)) for name, one in counted.items()}
        if self._known is None or self._known[0] != key:
            problems = {name: one.problems for name, one in counted.items() if one.problems}
            configs = {name: one.config for name, one in counted.items() if one.config}
            self._known = key, self._settled(counted, configs, problems)
        return self._known[1]

    def wrong(self, configs: Mapping[str, Config]) -> dict[str, tuple[Problem, ...]]:
        """Return what is wrong with the files, each by itself and with the others, warnings too."""
        found = [problem for config in configs.values() for problem in config.problems]
        try:
            self._compiled(configs)
        except ConfigError as error:
            found += error.problems
        return _by_file(configs, dict.fromkeys(found))

    def _names(self) -> list[str]:
        """Return whose files these are; one that is kept and gone counts on for a moment."""
        bridges = {name for name in (*self._store.rule_names(), *self._files.kept_names()) if _is_bridges(name)}
        return [CLUSTER, HOST, *sorted(bridges)]

    def _settled(
        self, names: Iterable[str], configs: dict[str, Config], problems: dict[str, tuple[Problem, ...]]
    ) -> Common:
        """Put what counted before in the place of what is wrong with the others, until nothing is."""
        closed = {name for name in names if name not in configs}
        configs |= {name: self._store.rules_of(name, _stand_in(name)) for name in closed}
        while True:
            try:
                self._compiled(configs)
            except ConfigError as error:
                blamed = {name: some for name, some in _by_file(configs, error.problems).items() if name not in closed}
                if not blamed:  # nothing that we put there ourselves is wrong
                    raise
            else:
                return Common(configs, problems, frozenset(closed), _about_guests(configs[CLUSTER]))
            for name, some in blamed.items():
                kept = self._files.kept(name)
                is_kept = kept is None or configs[name] == kept
                configs[name] = self._store.rules_of(name, _stand_in(name)) if is_kept or not kept else kept
                closed |= {name} if is_kept else set()
                problems.setdefault(name, some)


def _by_file(configs: Mapping[str, Config], problems: Iterable[Problem]) -> dict[str, tuple[Problem, ...]]:
    """Return the problems by the file that they are in; in none of them: cluster.fw's."""
    names = {config.path: name for name, config in configs.items()}
    found: dict[str, tuple[Problem, ...]] = {}
    for problem in problems:
        name = names.get(problem.path, CLUSTER)
        found[name] = (*found.get(name, ()), problem)
    return found


def _about_guests(cluster: Config) -> object:
    options = {name: option.value for name, option in (cluster.options or {}).items()}
    aliases = {name: alias.addresses for name, alias in cluster.aliases.items()}
    return options, aliases, cluster.sets.keys(), cluster.groups.keys()


def _is_bridges(name: str) -> bool:
    return name not in (CLUSTER, HOST) and not name.isdigit() and is_ifname(name)


def _stand_in(name: str) -> str:
    if name == HOST:
        return ""
    return CLOSED_CLUSTER if name == CLUSTER else _CLOSED
