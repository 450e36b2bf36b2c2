"""What every edit of one interface has: the files as drafts, what is there, what is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pvenetd.edits.keys import flag, synonyms, type_of, written
from pvenetd.edits.wish import Wish, prefix_length
from pvenetd.errors import EditError
from pvenetd.interfaces.config import Config
from pvenetd.interfaces.edit import Draft, stanza_text
from pvenetd.interfaces.stanza import File, Iface

OWN = ("type", "autostart", "comments", "comments6", "method", "method6")
"""Keys that are no options."""


def kind_of_interface(config: Config, name: str) -> str:
    """Return the type of the interface *name*."""
    stanzas = config.by_name.get(name, ())
    return type_of(name, {option.key: option.value for stanza in stanzas for option in stanza.options})


def refuse(wish: Wish, *, new: bool = False) -> None:
    """Raise `EditError` where *wish* is wrong by itself."""
    wrong = wish.errors()
    if new and wish.dropped:
        wrong["delete"] = "there is nothing to delete from a new interface"
    if wrong:
        raise EditError(wrong)


def lines(text: str) -> list[str]:
    """Return the lines of a comment."""
    return text.removesuffix("\n").split("\n") if text else []


class Edit:
    """One edit of one interface."""

    def __init__(self, config: Config, wish: Wish) -> None:
        self.config = config
        self.wish = wish
        self._drafts: dict[str, tuple[File, Draft]] = {}
        self.own = [one for one in config.stanzas if isinstance(one, Iface) and one.head.name == "iface"]
        self.all, self.own = self.own, [one for one in self.own if one.name == wish.iface]
        self.there = {option.key: option.value for stanza in self.own for option in stanza.options}
        self.wrong: dict[str, str] = {}

    def draft(self, path: str) -> Draft:
        """Return the draft of the file *path*."""
        if path not in self._drafts:
            file = next(file for file in self.config.files if file.path == path)
            self._drafts[path] = file, Draft(file)
        return self._drafts[path][1]

    def texts(self) -> dict[str, str]:
        """Return path → text of the files that change."""
        found = {path: (str(file), draft.text()) for path, (file, draft) in self._drafts.items()}
        return {path: after for path, (before, after) in found.items() if after != before}

    def stop(self) -> None:
        """Raise `EditError` where something is wrong."""
        if self.wrong:
            raise EditError(self.wrong)

    def written(self, key: str, option: str, text: str, old: str = "") -> str:
        """Return how *text* is written as a value of *option*; *old* where it says the same."""
        try:
            return written(option, text, old)
        except ValueError as error:
            self.wrong[key] = str(error)
            return text

    def set(self, key: str, stanza: Iface, option: str, values: Sequence[str]) -> None:
        """Give *stanza* the option once for each of *values*; what is wrong is told under *key*."""
        try:
            self.draft(stanza.path).set(stanza, option, values, synonyms(option, stanza.name, self.there))
        except ValueError as error:
            self.wrong[key] = str(error)

    def stanza(self, family: str, method: str, options: Iterable[tuple[str, str]], *, auto: bool) -> str:
        """Return a new stanza; *auto*: the first one, that may have an auto line."""
        wish = self.wish
        comments = lines(wish.one(f"comments{family}") or (wish.one("comments") or "" if family and auto else ""))
        autostart = wish.one("autostart") or "0"
        return stanza_text(
            wish.iface,
            f"inet{family}",
            method,
            options,
            auto=auto and flag(autostart) and not self.own,
            comments=comments,
        )

    def add(self, text: str, after: Iface | None) -> None:
        """Add a stanza below *after*, or at the end of the first file."""
        self.draft(after.path if after else self.config.files[0].path).add(text, after)

    def addresses(self, family: str, old: str) -> tuple[str, ...]:
        """Return the addresses that are wished, each with its prefix length; *old* lends its own to a bare one."""
        wish, version = self.wish, 6 if family else 4
        mask = wish.one(f"netmask{family}")
        found = next((wish.several(key) for key in (f"cidr{family}", f"address{family}") if key in wish.values), ())
        if not found and mask:
            found = (old.partition("/")[0],) if old else ()
            if not old:
                self.wrong[f"netmask{family}"] = f"needs address{family}"
        length = prefix_length(mask, version) if mask else None
        inherited = old.partition("/")[2]
        if any("/" not in text for text in found) and length is None and not inherited:
            self.wrong[f"netmask{family}"] = f"is missing: address{family} needs it"
        return tuple(text if "/" in text else f"{text}/{inherited if length is None else length}" for text in found)
