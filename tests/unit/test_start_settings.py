"""The settings a start goes by where their file is broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvenetd.commands import OWNER
from pvenetd.daemon.start_settings import GOOD, usable
from pvenetd.daemon.store import Store
from pvenetd.drivers.files import Files
from pvenetd.errors import ConfigError
from pvenetd.settings import PATH, Settings

FINE = b'[dhcp]\nclient = "dhcpcd"\n'
BROKEN = b'[dhcp]\nclient = "dhcpc"\n'


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Return the files of a host whose interfaces are pvenetd's."""
    found = Files(tmp_path)
    found.write(OWNER, b"")
    return found


def test_the_last_good_ones_are_used_and_what_is_wrong_is_told(files: Files) -> None:
    files.write(PATH, FINE)
    assert usable(Store(files))[1] == ""
    files.write(PATH, BROKEN)
    for _ in range(2):
        settings, told = usable(Store(files))
        assert settings.dhcp.client == "dhcpcd"
        assert told.startswith("the settings are broken: the last good ones are used ")
        assert f"\n{PATH}:2: error unknown-value: dhcp.client: " in told


def test_without_any_the_defaults_are(files: Files) -> None:
    files.write(PATH, FINE)
    usable(Store(files))
    files.remove(PATH)
    usable(Store(files))
    files.path(PATH).mkdir()
    settings, told = usable(Store(files))
    assert settings == Settings()
    assert "the defaults" in told
    assert f"{PATH}:0: error syntax: cannot be read" in told


def test_what_was_kept_and_is_broken_is_not_used(files: Files) -> None:
    files.write(PATH, BROKEN)
    files.write(GOOD, BROKEN)
    assert usable(Store(files))[0] == Settings()


def test_beside_another_ifupdown_it_is_an_error(files: Files) -> None:
    files.remove(OWNER)
    files.write(PATH, BROKEN)
    with pytest.raises(ConfigError, match=r"dhcp\.client"):
        usable(Store(files))
