"""An interface changes, or goes.

What is not asked for stays: an interface that is static stays so when its comment changes, one by DHCP
stays that.  A method follows only where it must: a first address makes a manual stanza static, and the
last one's end a static stanza manual.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Network, ip_interface

from pvenetd import vocabulary
from pvenetd.edits.edit import OWN, Edit, kind_of_interface, lines, refuse
from pvenetd.edits.keys import ADDRESSING, flag, goes_without_saying, is_or_none, option_of, synonyms
from pvenetd.edits.wish import Wish, prefix_length, with_tag
from pvenetd.errors import EditError
from pvenetd.interfaces.config import Config
from pvenetd.interfaces.stanza import Iface, Selection, canonical

_AUTO = ("auto", "hotplug")
"""Classes of names that are brought up by themselves."""


def updated(config: Config, wish: Wish) -> dict[str, str]:
    """Return path → text of what *wish* changes.  Raises `EditError`."""
    if wish.iface not in config.by_name:
        raise EditError({"iface": "interface does not exist", **wish.errors()})
    kind = kind_of_interface(config, wish.iface)
    if wish.kind not in (None, kind) and not {wish.kind, kind} <= {"eth", "unknown"}:
        raise EditError({"type": f"is {kind}, and stays that", **wish.errors()})
    refuse(wish)
    there = {option.key: option.value for stanza in config.by_name[wish.iface] for option in stanza.options}
    if unheard := dict(_unheard_of(wish.dropped, there)):
        raise EditError(unheard)
    return _Change(config, with_tag(wish, there.get("ovs-options", ""))).update()


def _unheard_of(dropped: Iterable[str], there: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the keys that are no option of any stanza, nor one of this: a misspelt one would go unnoticed."""
    every = vocabulary.every()
    for key in dropped:
        option = canonical(option_of(key) or key)
        if key in OWN or key.removesuffix("6") in ADDRESSING or option in there:
            continue
        if option not in every and not vocabulary.is_kept(option):
            near = vocabulary.near(option, [*every, *there])
            yield key, f"no such option{f' (did you mean {near}?)' if near else ''}"


def deleted(config: Config, name: str) -> dict[str, str]:
    """Return path → text without the interface *name*.  Raises `EditError`."""
    if name not in config.by_name:
        raise EditError({"iface": "interface does not exist"})
    return _Change(config, Wish(name)).delete()


class _Change(Edit):
    """A change of an interface that is there."""

    def update(self) -> dict[str, str]:
        """Return the files with the interface changed."""
        for family in ("", "6"):
            self._address(family)
        for key in {**self.wish.values, **dict.fromkeys(sorted(self.wish.dropped))}:
            if key in OWN or key.removesuffix("6") in ADDRESSING:
                continue
            if option := option_of(key):
                values = self.wish.several(key) if key in self.wish.values else ()
                self._option(key, option, values)
        for family in ("", "6"):
            self._comments(family)
        self._autostart()
        self.stop()
        return self.texts()

    def delete(self) -> dict[str, str]:
        """Return the files without the interface."""
        for stanza in self.own:
            self.draft(stanza.path).remove(stanza)
        for selection in self.config.stanzas:
            if isinstance(selection, Selection) and self.wish.iface in selection.names:
                self.draft(selection.path).strike(selection, self.wish.iface)
        return self.texts()

    def _autostart(self) -> None:
        value = "0" if "autostart" in self.wish.dropped else self.wish.one("autostart")
        if value is None:
            return
        listed = [
            one
            for one in self.config.stanzas
            if isinstance(one, Selection) and one.group in _AUTO and self.wish.iface in one.names
        ]
        if flag(value) and not listed:
            self.draft(self.own[0].path).put_before(self.own[0], f"auto {self.wish.iface}")
        elif not flag(value):
            for selection in listed:
                self.draft(selection.path).strike(selection, self.wish.iface)

    def _comments(self, family: str) -> None:
        key = f"comments{family}"
        if key not in self.wish.values and key not in self.wish.dropped:
            return
        of = [stanza for stanza in self.own if (stanza.family == "inet6") == bool(family)]
        if not of and not family:
            of = self.own
        texts = lines(self.wish.one(key) or "")
        if of:
            self.draft(of[0].path).comment(of[0], texts)
            for stanza in of[1:]:
                self.draft(stanza.path).comment(stanza, ())
        elif texts:
            self.wrong[key] = f"{self.wish.iface} has no inet6 stanza"

    def _option(self, key: str, option: str, values: Sequence[str]) -> None:
        """Give *option* its values where it stands; a new one goes into the first stanza."""
        keys = {canonical(option), *synonyms(option, self.wish.iface, self.there)}
        holders = [one for one in self.own if any(found.key in keys for found in one.options)]
        if len(values) == 1 and not holders and goes_without_saying(option, values[0], self.wish.iface, self.there):
            return
        if values and not holders:
            if option == "bridge-vlan-aware" and self.written(key, option, values[0]) == "no":
                return
            holders = self.own[:1]
        if not values and is_or_none(option):
            values = ("none",)  # without the line it would be no bridge, or bond, any more
        for number, stanza in enumerate(holders):
            old = [found.value for found in stanza.options if found.key in keys]
            new = [self.written(key, option, text, old[at] if at < len(old) else "") for at, text in enumerate(values)]
            self.set(key, stanza, option, new if number == 0 or len(values) == 1 else ())

    def _address(self, family: str) -> None:
        """Give one family its addresses and its gateway, and its stanza the method these need."""
        values, dropped = self.wish.values, self.wish.dropped
        keys = [f"{key}{family}" for key in ADDRESSING]
        method = self.wish.one(f"method{family}")
        if not method and not any(key in values or key in dropped for key in keys):
            return
        of = [stanza for stanza in self.own if stanza.family in (f"inet{family}", None)]
        holders = [one for one in of if self._of_family(one, "address", family)] or of
        if not holders:
            self._new_family(family)
            return
        stanza = holders[0]
        if dropped & {f"cidr{family}", f"address{family}"}:
            left = self._drop(holders, family)
        elif any(key in values for key in keys[:3]):
            left = self._readdress(stanza, family)
        else:
            left = len(self._of_family(stanza, "address", family))
        gateway = f"gateway{family}"
        if gateway in values or gateway in dropped:
            self._mixed(gateway, stanza, "gateway", self.wish.several(gateway) if gateway in values else (), family)
        self._method(stanza, family, method, left)

    def _new_family(self, family: str) -> None:
        """Add the stanza of a family that the interface does not have yet."""
        wish = self.wish
        rows = [("address", text) for text in self.addresses(family, "")]
        gateway = f"gateway{family}"
        rows += [("gateway", text) for text in (wish.several(gateway) if gateway in wish.values else ())]
        method = wish.one(f"method{family}")
        if rows or method:
            self.stop()
            self.add(self.stanza(family, method or "static", rows, auto=False), self.own[-1])

    def _of_family(self, stanza: Iface, option: str, family: str) -> list[str]:
        if stanza.family is not None:
            return [found.value for found in stanza.options if found.key == option and found.value]
        return [found.value for found in stanza.options if found.key == option and (":" in found.value) == bool(family)]

    def _mixed(self, key: str, stanza: Iface, option: str, values: Sequence[str], family: str) -> None:
        """Set *option* for one family; where a stanza is for both, the other family's lines stay."""
        mine, wanted = self._of_family(stanza, option, family), list(values)
        merged: list[str] = []
        for found in stanza.options:
            if found.key == option and found.value in mine:
                merged += [wanted.pop(0)] if wanted else []
            elif found.key == option:
                merged.append(found.value)
        self.set(key, stanza, option, [*merged, *wanted])

    def _readdress(self, stanza: Iface, family: str) -> int:
        """Write the wished addresses in the manner of those there: with a netmask line where there is one."""
        version = 6 if family else 4
        old = self._of_family(stanza, "address", family)
        mask = next((found for found in stanza.options if found.key == "netmask" and found.value), None)
        length = prefix_length(mask.value, version) if mask else None
        first = old[0] if old else ""
        if first and "/" not in first and length is not None:
            first = f"{first}/{length}"
        texts = list(self.addresses(family, first))
        several = any(isinstance(self.wish.values.get(f"{key}{family}"), tuple) for key in ("cidr", "address"))
        if not several:
            texts += old[1:]
        if mask and length is not None and old and "/" not in old[0] and len(texts) == 1:
            text, _, prefix = texts[0].partition("/")
            texts = [text]
            if prefix_length(prefix, version) != length:
                self.set(f"netmask{family}", stanza, "netmask", [_mask(int(prefix), like=mask.value)])
        texts = [_same(text, old[at]) if at < len(old) else text for at, text in enumerate(texts)]
        self._mixed(f"cidr{family}", stanza, "address", texts, family)
        return len(texts)

    def _drop(self, holders: Iterable[Iface], family: str) -> int:
        for stanza in holders:
            self._mixed(f"cidr{family}", stanza, "address", (), family)
            if stanza.family is not None or not family:
                self.set(f"netmask{family}", stanza, "netmask", ())
        return 0

    def _method(self, stanza: Iface, family: str, wished: str | None, addresses: int) -> None:
        gateway, keys = f"gateway{family}", {f"{key}{family}" for key in ADDRESSING}
        has_gateway = self._of_family(stanza, "gateway", family) and gateway not in self.wish.dropped
        is_left_bare = stanza.inherits is None and not addresses and not has_gateway and gateway not in self.wish.values
        method = wished or stanza.method
        if not wished and addresses and stanza.method not in ("static", "loopback", None):
            touched = any(f"{key}{family}" in self.wish.values for key in ADDRESSING[:3])
            method = "static" if touched else stanza.method
        elif not wished and is_left_bare and keys & self.wish.dropped and stanza.method == "static":
            method = "manual"
        has_it = wished and any(one.method == wished for one in self.own if one.family == stanza.family)
        if has_it or method == stanza.method or stanza.family is None or stanza.method is None:
            return
        bare = method == "manual" and all(option.key in ADDRESSING for option in stanza.options)
        draft = self.draft(stanza.path)
        if bare and not wished and len(self.own) > 1 and not draft.comments(stanza):
            draft.remove(stanza)
        else:
            words = list(stanza.head.words)
            words[words.index(stanza.method, 1)] = method or ""
            draft.reword(stanza, words)


def _mask(length: int, *, like: str) -> str:
    return str(IPv4Network(f"0.0.0.0/{length}").netmask) if "." in like else str(length)


def _same(text: str, old: str) -> str:
    """Return *old* where it says the same address."""
    try:
        equal = ("/" in text) == ("/" in old) and ip_interface(text) == ip_interface(old)
    except ValueError:
        equal = False
    return old if equal else text
