"""The man pages say what --help says, and name everything there is."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from pvenetd.__main__ import parser
from pvenetd.ctl.commands.every import COMMANDS
from pvenetd.settings import Settings

MAN = Path(__file__).parent.parent.parent / "man"
GENERATED = runpy.run_path(str(MAN / "generate.py"))


def plain(page: str) -> str:
    return (MAN / page).read_text().replace("\\-", "-")


@pytest.mark.parametrize("page", ["pvenetctl.1", "pvenetd.8"])
def test_pages_are_as_generated(page: str) -> None:
    assert (MAN / page).read_text() == GENERATED["PAGES"][page](), "python man/generate.py makes them anew"


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command.words))
def test_every_command_has_its_entry(command: Any) -> None:
    assert f"\n.B {' '.join(command.words)}" in plain("pvenetctl.1")


def test_the_daemons_options_and_settings_are_told() -> None:
    page = plain("pvenetd.8")
    words = parser().format_usage().replace("[", " ").replace("]", " ").split()
    assert all(word in page for word in words if word.startswith("--"))
    assert "\n.B qmp\n" in page
    for section, field in Settings.model_fields.items():
        assert field.annotation is not None
        for key in getattr(field.annotation, "model_fields", ()):
            assert f"\n.B [{section}] {key}\n" in page
