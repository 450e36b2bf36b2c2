"""A `Wish` → the changed text of each file it touches.

What is not asked for stays: an interface that is static stays so when its comment changes, one by DHCP
stays that.  A method follows only where it must: a first address makes a manual stanza static, and the
last one's end a static stanza manual.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, ip_interface

from pvenetd.edits.keys import ADDRESSING, defaults, flag, option_of, rank, synonyms, type_of, written
from pvenetd.edits.wish import Wish, prefix_length, with_tag
from pvenetd.errors import EditError
from pvenetd.interfaces.config import Config
from pvenetd.interfaces.edit import COMMANDS, Draft, stanza_text
from pvenetd.interfaces.syntax import File, Iface, Selection, canonical

_OWN = ("type", "autostart", "comments", "comments6", "method", "method6")
"""Keys that are no options."""
_AUTO = ("auto", "hotplug")
"""Classes of names that are brought up by themselves."""


def created(config: Config, wish: Wish) -> dict[str, str]:
    """Return path → text of what *wish* adds to.  Raises `EditError`."""
    if wish.iface in config.by_name:
        raise EditError({"iface": "interface already exists", **wish.errors()})
    _refuse(wish, new=True)
    return _Edit(config, with_tag(wish, "")).create()


def updated(config: Config, wish: Wish) -> dict[str, str]:
    """Return path → text of what *wish* changes.  Raises `EditError`."""
    if wish.iface not in config.by_name:
        raise EditError({"iface": "interface does not exist", **wish.errors()})
    kind = kind_of_interface(config, wish.iface)
    if wish.kind not in (None, kind) and not {wish.kind, kind} <= {"eth", "unknown"}:
        raise EditError({"type": f"is {kind}, and stays that", **wish.errors()})
    _refuse(wish)
    there = {option.key: option.value for stanza in config.by_name[wish.iface] for option in stanza.options}
    return _Edit(config, with_tag(wish, there.get("ovs-options", ""))).update()


def deleted(config: Config, name: str) -> dict[str, str]:
    """Return path → text without the interface *name*.  Raises `EditError`."""
    if name not in config.by_name:
        raise EditError({"iface": "interface does not exist"})
    return _Edit(config, Wish(name)).delete()


def kind_of_interface(config: Config, name: str) -> str:
    """Return the type of the interface *name*."""
    stanzas = config.by_name.get(name, ())
    return type_of(name, {option.key: option.value for stanza in stanzas for option in stanza.options})


def _refuse(wish: Wish, *, new: bool = False) -> None:
    wrong = wish.errors()
    if new and wish.dropped:
        wrong["delete"] = "there is nothing to delete from a new interface"
    if wrong:
        raise EditError(wrong)


class _Edit:
    """One edit of one interface."""

    def __init__(self, config: Config, wish: Wish) -> None:
        self._config = config
        self._wish = wish
        self._drafts: dict[str, tuple[File, Draft]] = {}
        self._own = [one for one in config.stanzas if isinstance(one, Iface) and one.head.name == "iface"]
        self._all, self._own = self._own, [one for one in self._own if one.name == wish.iface]
        self._there = {option.key: option.value for stanza in self._own for option in stanza.options}
        self._wrong: dict[str, str] = {}

    def create(self) -> dict[str, str]:
        """Return the files with a new interface."""
        wish = self._wish
        given = {key: value for key, value in wish.values.items() if key not in _OWN}
        options = {name: [text] for name, text in defaults(self._kind()).items()}
        families: dict[str, list[tuple[str, str]]] = {"": [], "6": []}
        for family, found in families.items():
            found += [("address", text) for text in self._addresses(family, "")]
            if f"gateway{family}" in given:
                found += [("gateway", text) for text in wish.several(f"gateway{family}")]
        for key in given:
            if key.removesuffix("6") not in ADDRESSING and (option := option_of(key)):
                same = next((one for one in options if canonical(one) == canonical(option)), option)
                options[same] = [self._written(key, option, text) for text in wish.several(key)]
        if options.get("bridge-vlan-aware") == ["no"]:
            del options["bridge-vlan-aware"]
        elif "bridge-vlan-aware" in options:
            options.setdefault("bridge-vids", ["2-4094"])
        self._stop()
        rows = [(option, value) for option, values in options.items() for value in values]
        rows.sort(key=lambda row: row[0] in COMMANDS)
        six = bool(families["6"] or "method6" in wish.values)
        four = bool(families[""] or "method" in wish.values or not six)
        texts: list[str] = []
        for family, wanted in (("", four), ("6", six)):
            if wanted:
                method = wish.one(f"method{family}") or ("static" if families[family] else "manual")
                texts.append(self._stanza(family, method, [*families[family], *rows], auto=not texts))
                rows = []
        self._add("\n".join(texts), self._anchor())
        return self._texts()

    def update(self) -> dict[str, str]:
        """Return the files with the interface changed."""
        for family in ("", "6"):
            self._address(family)
        for key in {**self._wish.values, **dict.fromkeys(sorted(self._wish.dropped))}:
            if key in _OWN or key.removesuffix("6") in ADDRESSING:
                continue
            if option := option_of(key):
                values = self._wish.several(key) if key in self._wish.values else ()
                self._option(key, option, values)
        for family in ("", "6"):
            self._comments(family)
        self._autostart()
        self._stop()
        return self._texts()

    def delete(self) -> dict[str, str]:
        """Return the files without the interface."""
        for stanza in self._own:
            self._draft(stanza.path).remove(stanza)
        for selection in self._config.stanzas:
            if isinstance(selection, Selection) and self._wish.iface in selection.names:
                self._draft(selection.path).strike(selection, self._wish.iface)
        return self._texts()

    # pieces

    def _draft(self, path: str) -> Draft:
        if path not in self._drafts:
            file = next(file for file in self._config.files if file.path == path)
            self._drafts[path] = file, Draft(file)
        return self._drafts[path][1]

    def _texts(self) -> dict[str, str]:
        found = {path: (str(file), draft.text()) for path, (file, draft) in self._drafts.items()}
        return {path: after for path, (before, after) in found.items() if after != before}

    def _stop(self) -> None:
        if self._wrong:
            raise EditError(self._wrong)

    def _written(self, key: str, option: str, text: str, old: str = "") -> str:
        try:
            return written(option, text, old)
        except ValueError as error:
            self._wrong[key] = str(error)
            return text

    def _set(self, key: str, stanza: Iface, option: str, values: Sequence[str]) -> None:
        try:
            self._draft(stanza.path).set(stanza, option, values, synonyms(option, stanza.name, self._there))
        except ValueError as error:
            self._wrong[key] = str(error)

    def _stanza(self, family: str, method: str, options: Iterable[tuple[str, str]], *, auto: bool) -> str:
        wish = self._wish
        comments = _lines(wish.one(f"comments{family}") or (wish.one("comments") or "" if family and auto else ""))
        autostart = wish.one("autostart") or "0"
        return stanza_text(
            wish.iface,
            f"inet{family}",
            method,
            options,
            auto=auto and flag(autostart) and not self._own,
            comments=comments,
        )

    # stanzas

    def _anchor(self) -> Iface | None:
        """Return the stanza below which a person would put a new one: the last of its sort, or of the sort before.

        A file that others source takes it only where it holds several of that sort: not one that is one interface's.
        """
        kind = self._kind()
        sorts = self._sorts()
        main = self._config.files[0].path if self._config.files else ""
        same = [stanza for stanza in self._all if sorts[stanza.name] == kind]
        if same and (same[-1].path == main or len({one.name for one in same if one.path == same[-1].path}) > 1):
            return same[-1]
        here = [stanza for stanza in self._all if stanza.path == main and rank(sorts[stanza.name]) <= rank(kind)]
        most = max((rank(sorts[stanza.name]) for stanza in here), default=0)
        return next((stanza for stanza in reversed(here) if rank(sorts[stanza.name]) == most), None)

    def _kind(self) -> str:
        """Return the type of the new interface: as it is said, or as its options and its name tell."""
        options = {canonical(option_of(key) or key): self._wish.one(key) or "" for key in self._wish.values}
        return self._wish.kind or type_of(self._wish.iface, options)

    def _sorts(self) -> dict[str, str]:
        """Return the type of every interface."""
        there: dict[str, dict[str, str]] = {}
        for stanza in self._all:
            there.setdefault(stanza.name, {}).update({option.key: option.value for option in stanza.options})
        return {name: type_of(name, options) for name, options in there.items()}

    def _add(self, text: str, after: Iface | None) -> None:
        self._draft(after.path if after else self._config.files[0].path).add(text, after)

    def _autostart(self) -> None:
        value = "0" if "autostart" in self._wish.dropped else self._wish.one("autostart")
        if value is None:
            return
        listed = [
            one
            for one in self._config.stanzas
            if isinstance(one, Selection) and one.group in _AUTO and self._wish.iface in one.names
        ]
        if flag(value) and not listed:
            self._draft(self._own[0].path).put_before(self._own[0], f"auto {self._wish.iface}")
        elif not flag(value):
            for selection in listed:
                self._draft(selection.path).strike(selection, self._wish.iface)

    def _comments(self, family: str) -> None:
        key = f"comments{family}"
        if key not in self._wish.values and key not in self._wish.dropped:
            return
        of = [stanza for stanza in self._own if (stanza.family == "inet6") == bool(family)]
        if not of and not family:
            of = self._own
        texts = _lines(self._wish.one(key) or "")
        if of:
            self._draft(of[0].path).comment(of[0], texts)
            for stanza in of[1:]:
                self._draft(stanza.path).comment(stanza, ())
        elif texts:
            self._wrong[key] = f"{self._wish.iface} has no inet6 stanza"

    # options

    def _option(self, key: str, option: str, values: Sequence[str]) -> None:
        """Give *option* its values where it stands; a new one goes into the first stanza."""
        keys = {canonical(option), *synonyms(option, self._wish.iface, self._there)}
        holders = [one for one in self._own if any(found.key in keys for found in one.options)]
        if values and not holders:
            if option == "bridge-vlan-aware" and self._written(key, option, values[0]) == "no":
                return
            holders = self._own[:1]
        for number, stanza in enumerate(holders):
            old = [found.value for found in stanza.options if found.key in keys]
            new = [self._written(key, option, text, old[at] if at < len(old) else "") for at, text in enumerate(values)]
            self._set(key, stanza, option, new if number == 0 or len(values) == 1 else ())

    # addresses

    def _address(self, family: str) -> None:
        """Give one family its addresses and its gateway, and its stanza the method these need."""
        values, dropped = self._wish.values, self._wish.dropped
        keys = [f"{key}{family}" for key in ADDRESSING]
        method = self._wish.one(f"method{family}")
        if not method and not any(key in values or key in dropped for key in keys):
            return
        of = [stanza for stanza in self._own if stanza.family in (f"inet{family}", None)]
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
            self._mixed(gateway, stanza, "gateway", self._wish.several(gateway) if gateway in values else (), family)
        self._method(stanza, family, method, left)

    def _new_family(self, family: str) -> None:
        """Add the stanza of a family that the interface does not have yet."""
        wish = self._wish
        rows = [("address", text) for text in self._addresses(family, "")]
        gateway = f"gateway{family}"
        rows += [("gateway", text) for text in (wish.several(gateway) if gateway in wish.values else ())]
        method = wish.one(f"method{family}")
        if rows or method:
            self._stop()
            self._add(self._stanza(family, method or "static", rows, auto=False), self._own[-1])

    def _addresses(self, family: str, old: str) -> tuple[str, ...]:
        """Return the addresses that are wished, each with its prefix length; *old* lends its own to a bare one."""
        wish, version = self._wish, 6 if family else 4
        mask = wish.one(f"netmask{family}")
        found = next((wish.several(key) for key in (f"cidr{family}", f"address{family}") if key in wish.values), ())
        if not found and mask:
            found = (old.partition("/")[0],) if old else ()
            if not old:
                self._wrong[f"netmask{family}"] = f"needs address{family}"
        length = prefix_length(mask, version) if mask else None
        inherited = old.partition("/")[2]
        if any("/" not in text for text in found) and length is None and not inherited:
            self._wrong[f"netmask{family}"] = f"is missing: address{family} needs it"
        return tuple(text if "/" in text else f"{text}/{inherited if length is None else length}" for text in found)

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
        self._set(key, stanza, option, [*merged, *wanted])

    def _readdress(self, stanza: Iface, family: str) -> int:
        """Write the wished addresses in the manner of those there: with a netmask line where there is one."""
        version = 6 if family else 4
        old = self._of_family(stanza, "address", family)
        mask = next((found for found in stanza.options if found.key == "netmask" and found.value), None)
        length = prefix_length(mask.value, version) if mask else None
        first = old[0] if old else ""
        if first and "/" not in first and length is not None:
            first = f"{first}/{length}"
        texts = list(self._addresses(family, first))
        several = any(isinstance(self._wish.values.get(f"{key}{family}"), tuple) for key in ("cidr", "address"))
        if not several:
            texts += old[1:]
        if mask and length is not None and old and "/" not in old[0] and len(texts) == 1:
            text, _, prefix = texts[0].partition("/")
            texts = [text]
            if prefix_length(prefix, version) != length:
                self._set(f"netmask{family}", stanza, "netmask", [_mask(int(prefix), like=mask.value)])
        texts = [_same(text, old[at]) if at < len(old) else text for at, text in enumerate(texts)]
        self._mixed(f"cidr{family}", stanza, "address", texts, family)
        return len(texts)

    def _drop(self, holders: Iterable[Iface], family: str) -> int:
        for stanza in holders:
            self._mixed(f"cidr{family}", stanza, "address", (), family)
            if stanza.family is not None or not family:
                self._set(f"netmask{family}", stanza, "netmask", ())
        return 0

    def _method(self, stanza: Iface, family: str, wished: str | None, addresses: int) -> None:
        gateway = f"gateway{family}"
        keeps_gateway = self._of_family(stanza, "gateway", family) and gateway not in self._wish.dropped
        method = wished or stanza.method
        if not wished and addresses and stanza.method not in ("static", "loopback", None):
            touched = any(f"{key}{family}" in self._wish.values for key in ADDRESSING[:3])
            method = "static" if touched else stanza.method
        elif not wished and not addresses and stanza.method == "static" and not keeps_gateway:
            method = "manual"
        if method == stanza.method or stanza.family is None or stanza.method is None:
            return
        bare = method == "manual" and all(option.key in ADDRESSING for option in stanza.options)
        draft = self._draft(stanza.path)
        if bare and not wished and len(self._own) > 1 and not draft.comments(stanza):
            draft.remove(stanza)
        else:
            words = list(stanza.head.words)
            words[words.index(stanza.method, 1)] = method or ""
            draft.reword(stanza, words)


def _lines(text: str) -> list[str]:
    return text.removesuffix("\n").split("\n") if text else []


def _mask(length: int, *, like: str) -> str:
    return str(IPv4Network(f"0.0.0.0/{length}").netmask) if "." in like else str(length)


def _same(text: str, old: str) -> str:
    """Return *old* where it says the same address."""
    try:
        equal = ("/" in text) == ("/" in old) and ip_interface(text) == ip_interface(old)
    except ValueError:
        equal = False
    return old if equal else text
