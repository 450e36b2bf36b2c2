"""pvenetd.toml."""

from __future__ import annotations

import pytest

from pvenetd.errors import ConfigError
from pvenetd.settings import parse


@pytest.mark.parametrize("pattern", ["/run/qemu-server/*.qmp", "/*", "/run/vm-*-monitor"])
def test_a_pattern_of_monitors_has_one_star_for_the_vmid(pattern: str) -> None:
    assert parse(f'qmp = "{pattern}"'.encode()).qmp == pattern


@pytest.mark.parametrize("pattern", ["", "*.qmp", "run/*.qmp", "/run/qmp", "/run/*/qmp", "/run/*/*.qmp", "/run/*-*"])
def test_any_other_is_an_error_that_names_it(pattern: str) -> None:
    with pytest.raises(ConfigError, match=r"unknown-value: qmp: .*one "):
        parse(f'qmp = "{pattern}"'.encode())


def test_an_unknown_key_is_an_error() -> None:
    with pytest.raises(ConfigError, match="qpm"):
        parse(b'qpm = "/run/*"')
