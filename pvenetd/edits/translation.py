"""Lines of NAT more, or less, in an interface's stanzas; all others stay as they are.

To set an option, as other edits do, is to say all of its lines.
"""

from __future__ import annotations

from pvenetd.edits.edit import Edit, refuse
from pvenetd.edits.wish import Wish
from pvenetd.errors import EditError
from pvenetd.interfaces.config import Config
from pvenetd.interfaces.stanza import Iface


def translated(config: Config, wish: Wish) -> dict[str, str]:
    """Return path → text with the lines of *wish* added, where the option stands.  Raises `EditError`."""
    return _Translation(config, wish).change(is_more=True)


def untranslated(config: Config, wish: Wish) -> dict[str, str]:
    """Return path → text without the lines of *wish*.  Raises `EditError`."""
    return _Translation(config, wish).change(is_more=False)


class _Translation(Edit):
    """A change of options that stand several times."""

    def change(self, *, is_more: bool) -> dict[str, str]:
        """Return the files with lines added, or taken out."""
        if not self.own:
            raise EditError({"iface": "interface does not exist"})
        refuse(self.wish)
        for option in self.wish.values:
            left = [(stanza, _values(stanza, option)) for stanza in self.own]
            for line in map(_plain, self.wish.several(option)):
                holders = [values for _, values in left if line in map(_plain, values)]
                if is_more and not holders:
                    next((values for _, values in left if values), left[0][1]).append(line)
                elif holders and not is_more:
                    holders[0].remove(next(value for value in holders[0] if _plain(value) == line))
                else:
                    self.wrong[option] = f"'{line}' is there already" if is_more else f"there is no '{line}'"
            for stanza, values in left:
                if values != _values(stanza, option):
                    self.set(option, stanza, option, values)
        self.stop()
        return self.texts()


def _values(stanza: Iface, option: str) -> list[str]:
    return [found.value for found in stanza.options if found.key == option]


def _plain(text: str) -> str:
    """Return a line with one blank between its words."""
    return " ".join(text.split())
