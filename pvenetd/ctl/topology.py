"""The network as a picture: a tree from the uplinks by bonds and bridges to taps and guests, or Graphviz."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import Any

from pvenetd.ctl.page import Block
from pvenetd.ctl.show import natural

Link = dict[str, Any]


def show(data: list[Link], arguments: argparse.Namespace) -> Iterator[Block]:
    """Show the links as *arguments* ask."""
    links = sorted(data, key=lambda link: natural(link["name"]))
    if arguments.format == "json":
        yield json.dumps(data)
    elif arguments.format == "dot":
        yield from _dot(links)
    else:
        yield from _Tree(links).lines()


def _dot(data: list[Link]) -> Iterator[str]:
    yield "digraph network {"
    yield '  rankdir=LR; node [shape=box, fontname="monospace"];'
    for link in data:
        colour = "" if link["up"] else ", color=gray, fontcolor=gray"
        yield f"  {_quoted(link['name'])} [label={_quoted(_words(link))}{colour}];"
    guests = {guest["vmid"]: guest for link in data if (guest := link.get("guest"))}
    for guest in guests.values():
        label = f"guest {guest['vmid']}\n{guest['name']}".rstrip()
        yield f"  {_node(guest)} [label={_quoted(label)}, shape=ellipse];"
    for link in data:
        for below in _above(link, data):
            yield f"  {_quoted(below)} -> {_quoted(link['name'])};"
        if guest := link.get("guest"):
            label = guest["nic"] + ("\nfiltered" if guest["filtered"] else "")
            yield f"  {_quoted(link['name'])} -> {_node(guest)} [label={_quoted(label)}];"
    yield "}"


def _node(guest: dict[str, Any]) -> str:
    return _quoted(f"guest {guest['vmid']}")


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


class _Tree:
    """Draws every link once; where it hangs below several, the others name it."""

    def __init__(self, data: list[Link]) -> None:
        self._links = {link["name"]: link for link in data}
        self._above = {link["name"]: _above(link, data) for link in data}
        self._below: dict[str, list[str]] = {name: [] for name in self._links}
        for name, above in self._above.items():
            for one in above:
                self._below[one].append(name)
        self._drawn: set[str] = set()

    def lines(self) -> Iterator[str]:
        """Yield the lines; links that lead to the same place stand one below the other, above it."""
        tops = [name for name, above in self._above.items() if not above]
        tops.sort(key=lambda name: not self._below[name])
        while tops:
            first = tops[0]
            together = [name for name in tops if name == first or (self._below[name] == self._below[first] != [])]
            yield from (_label(self._links[name]).replace("\n", "  ") for name in together)
            yield from self._children(self._below[first], "")
            tops = [name for name in tops if name not in together]
        for name in self._links.keys() - self._drawn - {name for name, above in self._above.items() if not above}:
            yield _label(self._links[name]).replace("\n", "  ")  # a ring, which the kernel forbids

    def _children(self, names: list[str], indent: str) -> Iterator[str]:
        for name in names:
            last = name == names[-1]
            branch = "└─ " if last else "├─ "
            if name in self._drawn:
                yield f"{indent}{branch}{name} (above)"
                continue
            self._drawn.add(name)
            yield indent + branch + _label(self._links[name]).replace("\n", "  ")
            yield from self._children(self._below[name], indent + ("   " if last else "│  "))


def _above(link: Link, data: list[Link]) -> list[str]:
    """Return what leads to *link* from outside.

    A bridge's or bond's ports that are no guests', a VLAN's parent, a tap's bridge.
    """
    names = {one["name"] for one in data}
    if _inward(link):
        return [link["master"]] if link["master"] in names else []
    ports = [one["name"] for one in data if one["master"] == link["name"] and not _inward(one)]
    return ports + ([link["parent"]] if link["parent"] in names else [])


def _inward(link: Link) -> bool:
    return link["kind"] == "tap" or bool(link.get("guest"))


def _label(link: Link) -> str:
    """Return a link in a few words, and its guest."""
    guest = link.get("guest")
    if not guest:
        return _words(link)
    filtered = ", filtered" if guest["filtered"] else ""
    return _words(link) + f"\n→ guest {guest['vmid']} {guest['name']}".rstrip() + f" ({guest['nic']}{filtered})"


def _words(link: Link) -> str:
    """Return a link in a few words: name, kind, VLANs, addresses, state."""
    words = [link["name"], link["kind"]]
    if link.get("vlan"):
        words.append(f"VLAN {link['vlan']}")
    if link["pvid"]:
        words.append(f"untagged {link['pvid']}")
    tagged = [one for one in link["vids"].split(",") if one and one != str(link["pvid"])]
    if tagged:
        words.append(f"VLANs {','.join(tagged)}")
    words += link["addresses"]
    if link["mtu"] not in (None, 1500):
        words.append(f"mtu {link['mtu']}")
    words.append("up" if link["up"] else "DOWN")
    return " ".join(words)
