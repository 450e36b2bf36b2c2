"""The settings a start goes by: where the interfaces are pvenetd's, no broken file keeps the host off the net."""

from __future__ import annotations

from contextlib import suppress

from pvenetd import settings
from pvenetd.daemon.store import Store
from pvenetd.errors import ConfigError, Shortage
from pvenetd.settings import PATH, Settings

GOOD = "var/lib/pvenetd/pvenetd.toml"
"""The file as the last start found it that could use it; not there where there was none."""


def usable(store: Store) -> tuple[Settings, str]:
    """Return the settings, and what is to be told where they are the last good ones, or the defaults.

    Raises `ConfigError` where another ifupdown has the interfaces: the host is reached without the daemon.
    """
    files = store.files
    try:
        config = settings.load(files.read)
    except ConfigError as error:
        if not store.owns():
            raise
        config, which = _instead(store)
        return config, f"the settings are broken: {which} are used until they are mended and pvenetd restarted\n{error}"
    with suppress(OSError, Shortage):
        files.put(GOOD, files.read(PATH))
    return config, ""


def _instead(store: Store) -> tuple[Settings, str]:
    with suppress(OSError, ConfigError):
        if (data := store.files.read(GOOD)) is not None:
            return settings.parse(data), "the last good ones"
    return Settings(), "the defaults"
