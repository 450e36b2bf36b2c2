"""What a domain's XML cannot say of a guest: the element ``<pvenetd:guest>`` in its ``<metadata>``.

`libvirt.rng` beside this file is its schema (RELAX NG); pvenetd-libvirt(7) documents it.  libvirt keeps what is in
``<metadata>`` as it is, one element a namespace (https://libvirt.org/formatdomain.html#general-metadata).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from xml.sax.saxutils import quoteattr

from pvenetd.errors import Problem
from pvenetd.guests.markup import Edit, Element
from pvenetd.guests.wiring import PREFIX, SPACE

KEYS = ("bridge", "tag", "trunks", "firewall", "rate", "mtu", "queues", "link_down", "isolated")
"""What may be said of a NIC: the keys of a netN string, with their values."""
FIRST_VMID, LAST_VMID = 100, 999_999_999

_MAC = re.compile("[0-9a-f]{2}(:[0-9a-f]{2}){5}")


@dataclass(frozen=True, slots=True)
class Net:
    """What is said of one NIC, which is named by its index, its MAC, or both."""

    index: int | None
    mac: str | None
    """In lower case."""
    values: Mapping[str, str]
    line: int

    @property
    def words(self) -> dict[str, str]:
        """Return what is said, with the MAC where it has one."""
        return {**({"mac": self.mac} if self.mac else {}), **self.values}


@dataclass(frozen=True, slots=True)
class Meta:
    """The element, read."""

    line: int = 0
    """Where it stands; 0 where there is none."""
    vmid: int | None = None
    nets: tuple[Net, ...] = ()
    problems: tuple[Problem, ...] = ()


def read(domain: Element, path: str) -> Meta:
    """Return what *domain* says in its metadata; nothing is refused, `Meta.problems` says what is wrong."""
    place = domain.first("metadata")
    element = place.first("guest", SPACE) if place else None
    if element is None:
        return Meta()
    problems: list[Problem] = []
    vmid = None
    for name, text in element.attributes.items():
        if name != "vmid":
            problems.append(_unknown(path, element.line, f"attribute '{name}'", "vmid"))
        elif re.fullmatch("[0-9]{3,9}", text) and int(text) >= FIRST_VMID:
            vmid = int(text)
        else:
            message = f"vmid: '{text}' should be {FIRST_VMID} to {LAST_VMID}"
            problems.append(Problem(path, element.line, "unknown-value", message, option="vmid"))
    nets: list[Net] = []
    for child in element.children:
        if child.tag == "net" and child.space in (SPACE, ""):
            nets += _net(child, path, problems)
        else:
            problems.append(_unknown(path, child.line, f"element '{child.tag}'", "net"))
    problems += _twice(nets, path)
    return Meta(element.line, vmid, tuple(nets), tuple(problems))


def render(vmid: int, nets: Mapping[int, Mapping[str, str]], indent: str = "", *, bare: bool = False) -> str:
    """Return the element that says *vmid*, and of each NIC, by its index, what *nets* has, its ``mac`` too.

    *bare* is without its namespace, which virDomainSetMetadata() gives it.
    """
    prefix, space = ("", "") if bare else (f"{PREFIX}:", f' xmlns:{PREFIX}="{SPACE}"')
    lines = [f'<{prefix}guest{space} vmid="{vmid}">']
    for index, values in sorted(nets.items()):
        words = "".join(f" {key}={quoteattr(values[key])}" for key in ("mac", *KEYS) if key in values)
        lines.append(f'  <{prefix}net index="{index}"{words}/>')
    return f"\n{indent}".join([*lines, f"</{prefix}guest>"])


def put(root: Element, vmid: int, nets: Mapping[int, Mapping[str, str]]) -> Edit:
    """Return what puts the element that says *vmid* and *nets* into a domain, in its place or a new one."""
    element = render(vmid, nets, "    ")
    place = root.first("metadata")
    if place is None:
        after = root.first("uuid") or root.first("name")
        at = after.end if after else root.content
        return at, at, f"\n  <metadata>\n    {element}\n  </metadata>".encode()
    if own := place.first("guest", SPACE):
        return own.start, own.end, element.encode()
    if place.is_empty_tag:
        return place.start, place.end, f"<metadata>\n    {element}\n  </metadata>".encode()
    return place.content, place.content, f"\n    {element}".encode()


def _net(element: Element, path: str, problems: list[Problem]) -> Iterator[Net]:
    """Yield what *element* says, if it says of which NIC."""
    values: dict[str, str] = {}
    index = mac = None
    fine = True
    for name, text in element.attributes.items():
        if name == "index" and re.fullmatch("[0-9]|[12][0-9]|3[01]", text):
            index = int(text)
        elif name == "mac" and _MAC.fullmatch(text.lower()):
            mac = text.lower()
        elif name in ("index", "mac"):
            fine = False
            should = "0 to 31" if name == "index" else "six hexadecimal pairs like 52:54:00:00:53:01"
            message = f"{name}: '{text}' should be {should}"
            problems.append(Problem(path, element.line, "unknown-value", message, option=name))
        elif name not in KEYS:
            problems.append(_unknown(path, element.line, f"attribute '{name}'", ", ".join(("index", "mac", *KEYS))))
        elif not text:
            problems.append(Problem(path, element.line, "syntax", f"{name} has no value", hint="drop it", option=name))
        else:
            values[name] = text
    if index is not None or mac is not None:
        yield Net(index, mac, values, element.line)
    elif fine:
        message = "a net without index and mac: which NIC is meant?"
        problems.append(Problem(path, element.line, "syntax", message, hint='index="0"'))


def _twice(nets: list[Net], path: str) -> Iterator[Problem]:
    seen: dict[int | str, Net] = {}
    for net in nets:
        for name in (net.index, net.mac):
            if name is not None and (first := seen.setdefault(name, net)) is not net:
                called = f"net{name}" if isinstance(name, int) else name
                message = f"{called} is there already, in line {first.line}"
                yield Problem(path, net.line, "syntax", message, hint="keep one")


def _unknown(path: str, line: int, what: str, known: str) -> Problem:
    return Problem(path, line, "unknown-option", f"unknown {what} is ignored", "warning", f"there are {known}")
