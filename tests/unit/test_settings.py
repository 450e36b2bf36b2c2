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


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('qmp = "/run/*"\nqpm = 1\n', "2: error unknown-value: qpm: "),
        (
            '[api]\nlisten = ["192.0.2.1",\n  "192.0.2.300"]\n',
            "2: error unknown-value: api.listen.1: Input is not a valid",
        ),
        ('[api]\nport = 80\n[firewall]\n"port" = 1\n', "2: error unknown-value: api.port: "),
        ('[api]\nport = 8080\n[firewall]\n"port" = 1\n', "4: error unknown-value: firewall.port: "),
        ("firewall.backend = 1\n", "1: error unknown-value: firewall.backend: "),
        ('\n[api]\nkey = "/k"\n', "2: error unknown-value: api: "),
        ("[api]\nport = = 1\n", "2: error syntax: "),
        ("[api]\nlisten = [\n", "2: error syntax: "),
        ("[api]\n# \udcff\n", "2: error syntax: no UTF-8"),
    ],
)
def test_an_error_names_its_line(text: str, told: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse(text.encode(errors="surrogateescape"), "settings")
    assert str(error.value).startswith(f"settings:{told}")
