"""All files of a configuration as one, still only syntax: what is there, in the order it is read.

Sources: interfaces(5): INTERFACE SELECTION, INTERFACE TEMPLATES, INCLUDING OTHER FILES.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType

from pvenetd.errors import Problem
from pvenetd.interfaces.stanza import File, Iface, Rename, Selection, Source, Stanza
from pvenetd.interfaces.stanza import Mapping as MappingStanza


@dataclass(frozen=True)
class Config:
    """The stanzas of every file, a sourced one's where its ``source`` line stands."""

    files: tuple[File, ...] = ()
    stanzas: tuple[Stanza, ...] = ()
    """As written; `ifaces` has what templates add."""
    ifaces: tuple[Iface, ...] = ()
    """Every iface stanza in order, its template's options before its own."""
    templates: frozenset[str] = frozenset()
    """Names that a stanza inherits from."""
    problems: tuple[Problem, ...] = ()

    @cached_property
    def by_name(self) -> Mapping[str, tuple[Iface, ...]]:
        """Return the stanzas of each interface, interfaces in the order they first appear."""
        found: dict[str, tuple[Iface, ...]] = {}
        for iface in self.ifaces:
            found[iface.name] = (*found[iface.name], iface) if iface.name in found else (iface,)
        return MappingProxyType(found)

    @cached_property
    def classes(self) -> Mapping[str, tuple[str, ...]]:
        """Return what ``auto`` and ``allow-CLASS`` list, by class, each name once, in order."""
        found: dict[str, dict[str, None]] = {}
        for stanza in self.stanzas:
            if isinstance(stanza, Selection) and stanza.group is not None:
                found.setdefault(stanza.group, {}).update(dict.fromkeys(stanza.names))
        return MappingProxyType({group: tuple(names) for group, names in found.items()})

    @property
    def autos(self) -> tuple[str, ...]:
        """Return what is brought up at boot."""
        return self.classes.get("auto", ())

    @property
    def hotplug(self) -> tuple[str, ...]:
        """Return what is brought up when its device turns up."""
        return self.classes.get("hotplug", ())

    @property
    def no_auto_down(self) -> tuple[str, ...]:
        """Return what ``ifdown -a`` leaves up."""
        return self._listed("no-auto-down")

    @property
    def no_scripts(self) -> tuple[str, ...]:
        """Return the interfaces for which no if-*.d script runs."""
        return self._listed("no-scripts")

    @property
    def mappings(self) -> tuple[MappingStanza, ...]:
        """Return the mapping stanzas, in order."""
        return tuple(stanza for stanza in self.stanzas if isinstance(stanza, MappingStanza))

    @property
    def renames(self) -> tuple[tuple[str, str], ...]:
        """Return (name now, name wanted) of every rename line, in order."""
        return tuple(pair for stanza in self.stanzas if isinstance(stanza, Rename) for pair in stanza.pairs)

    @property
    def sources(self) -> tuple[Source, ...]:
        """Return the source lines, in order."""
        return tuple(stanza for stanza in self.stanzas if isinstance(stanza, Source))

    def _listed(self, word: str) -> tuple[str, ...]:
        stanzas = (stanza for stanza in self.stanzas if isinstance(stanza, Selection) and stanza.head.name == word)
        return tuple(dict.fromkeys(name for stanza in stanzas for name in stanza.names))


def merge(files: Iterable[File], stanzas: Iterable[Stanza], problems: Iterable[Problem] = ()) -> Config:
    """Return *files* as one, with *stanzas* in reading order; *problems* are those of including them."""
    files, stanzas = tuple(files), tuple(stanzas)
    found = [problem for file in files for problem in file.problems]
    found += problems
    ifaces, templates = _inherit(stanzas, found)
    place = {file.path: number for number, file in enumerate(files)}
    found.sort(key=lambda problem: (place.get(problem.path, -1), problem.line))
    return Config(files, stanzas, ifaces, templates, tuple(found))


def single(file: File) -> Config:
    """Return *file* alone; what it sources is not read."""
    return merge((file,), file.stanzas)


def _inherit(stanzas: tuple[Stanza, ...], problems: list[Problem]) -> tuple[tuple[Iface, ...], frozenset[str]]:
    """Give each stanza its template's options.

    As in ifupdown a template stands before what inherits it, so it cannot inherit itself, and it is
    the first stanza of its name and family; a stanza without a family takes the template's.
    """
    written = [stanza for stanza in stanzas if isinstance(stanza, Iface)]
    if all(stanza.inherits is None for stanza in written):
        return tuple(stanza for stanza in written if stanza.is_interface), frozenset()
    first: dict[tuple[str, str | None], Iface] = {}
    first_of_any: dict[str, Iface] = {}
    ifaces: list[Iface] = []
    templates: set[str] = set()
    for stanza in written:
        iface = stanza
        if stanza.inherits is not None:
            template = first.get((stanza.inherits, stanza.family)) or first.get((stanza.inherits, None))
            if stanza.family is None:
                template = first_of_any.get(stanza.inherits)
            if template:
                templates.add(stanza.inherits)
                iface = _extend(stanza, template)
            else:
                message = f"no stanza '{' '.join(filter(None, (stanza.inherits, stanza.family)))}' to inherit from"
                hint = "a template stands before the stanza that inherits it"
                problems.append(stanza.head.problem(message, hint, interface=stanza.name))
        first.setdefault((iface.name, iface.family), iface)
        first_of_any.setdefault(iface.name, iface)
        if iface.is_interface:
            ifaces.append(iface)
    return tuple(ifaces), frozenset(templates)


def _extend(iface: Iface, template: Iface) -> Iface:
    return replace(
        iface,
        family=iface.family or template.family,
        method=iface.method or template.method,
        options=template.options + iface.options,
    )
