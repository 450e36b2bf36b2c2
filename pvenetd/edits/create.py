"""A new interface: its stanzas, as Proxmox VE would write them, where a person would put them."""

from __future__ import annotations

from pvenetd.edits.edit import OWN, Edit, refuse
from pvenetd.edits.keys import ADDRESSING, defaults, needed, option_of, rank, type_of
from pvenetd.edits.wish import Wish, with_tag
from pvenetd.errors import EditError
from pvenetd.interfaces.config import Config
from pvenetd.interfaces.edit import COMMANDS
from pvenetd.interfaces.stanza import Iface, canonical


def created(config: Config, wish: Wish) -> dict[str, str]:
    """Return path → text of what *wish* adds to.  Raises `EditError`."""
    if wish.iface in config.by_name:
        raise EditError({"iface": "interface already exists", **wish.errors()})
    refuse(wish, new=True)
    return _Creation(config, with_tag(wish, "")).create()


class _Creation(Edit):
    """A new interface."""

    def create(self) -> dict[str, str]:
        """Return the files with a new interface."""
        wish = self.wish
        families = {family: self._addressing(family) for family in ("", "6")}
        rows = sorted(self._options(), key=lambda row: row[0] in COMMANDS)
        self.stop()
        six = bool(families["6"] or "method6" in wish.values)
        four = bool(families[""] or "method" in wish.values or not six)
        texts: list[str] = []
        for family, wanted in (("", four), ("6", six)):
            if wanted:
                method = wish.one(f"method{family}") or ("static" if families[family] else "manual")
                texts.append(self.stanza(family, method, [*families[family], *rows], auto=not texts))
                rows = []
        self.add("\n".join(texts), self._anchor())
        return self.texts()

    def _addressing(self, family: str) -> list[tuple[str, str]]:
        gateway = f"gateway{family}"
        gateways = self.wish.several(gateway) if gateway in self.wish.values else ()
        addresses = [("address", text) for text in self.addresses(family, "")]
        return addresses + [("gateway", text) for text in gateways]

    def _options(self) -> list[tuple[str, str]]:
        """Return what is asked for, and what Proxmox VE writes for such an interface though nobody asks."""
        kind, wish = self._kind(), self.wish
        options = {name: [text] for name, text in defaults(kind).items()}
        for key in needed(kind, wish.iface):
            if not any(canonical(one) == key for one in wish.values):
                self.wrong[key] = "is missing"
        for key in wish.values:
            if key not in OWN and key.removesuffix("6") not in ADDRESSING and (option := option_of(key)):
                same = next((one for one in options if canonical(one) == canonical(option)), option)
                options[same] = [self.written(key, option, text) for text in wish.several(key)]
        if options.get("bridge-vlan-aware") == ["no"]:
            del options["bridge-vlan-aware"]
        elif "bridge-vlan-aware" in options:
            options.setdefault("bridge-vids", ["2-4094"])
        return [(option, value) for option, values in options.items() for value in values]

    def _anchor(self) -> Iface | None:
        """Return the stanza below which a person would put a new one: the last of its sort, or of the sort before.

        A file that others source takes it only where it holds several of that sort: not one that is one interface's.
        """
        kind = self._kind()
        sorts = self._sorts()
        main = self.config.files[0].path if self.config.files else ""
        same = [stanza for stanza in self.all if sorts[stanza.name] == kind]
        if same and (same[-1].path == main or len({one.name for one in same if one.path == same[-1].path}) > 1):
            return same[-1]
        here = [stanza for stanza in self.all if stanza.path == main and rank(sorts[stanza.name]) <= rank(kind)]
        most = max((rank(sorts[stanza.name]) for stanza in here), default=0)
        return next((stanza for stanza in reversed(here) if rank(sorts[stanza.name]) == most), None)

    def _kind(self) -> str:
        """Return the type of the new interface: as it is said, or as its options and its name tell."""
        options = {canonical(option_of(key) or key): self.wish.one(key) or "" for key in self.wish.values}
        return self.wish.kind or type_of(self.wish.iface, options)

    def _sorts(self) -> dict[str, str]:
        """Return the type of every interface."""
        there: dict[str, dict[str, str]] = {}
        for stanza in self.all:
            there.setdefault(stanza.name, {}).update({option.key: option.value for option in stanza.options})
        return {name: type_of(name, options) for name, options in there.items()}
