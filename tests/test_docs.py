"""Whatever can be written or asked has a word of documentation, and the pages say what the code does."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

import pvenetd
from pvenetd import addressing, sysctls, vocabulary
from pvenetd.api.route import Route
from pvenetd.api.routes import ROUTES
from pvenetd.firewall.macros import MACROS
from pvenetd.firewall.options import OPTIONS as FIREWALL_OPTIONS
from pvenetd.firewall.options import Scope
from pvenetd.kinds import KINDS
from pvenetd.kinds.link import Link, options
from pvenetd.kinds.port import OPTIONS as PORT_OPTIONS
from pvenetd.kinds.tap import Tap
from pvenetd.meanings import meanings
from pvenetd.nat.option import OPTIONS as NAT_OPTIONS
from tests.reliability import marked, written
from tests.unit.test_check_shapes import ERRORS, WARNINGS

ROOT = Path(__file__).resolve().parent.parent
MAN = ROOT / "man"
GENERATED = runpy.run_path(str(MAN / "generate.py"))
CODES: dict[str, str] = GENERATED["CODES"]


def plain(page: str) -> str:
    """Return a page without roff's escapes."""
    return re.sub(r"\\(?:f[BIR]|&)", "", (MAN / page).read_text()).replace("\\-", "-")


@pytest.mark.parametrize("page", [name for name in GENERATED["PAGES"] if name not in ("pvenetctl.1", "pvenetd.8")])
def test_a_page_made_from_the_code_is_as_generated(page: str) -> None:
    assert (MAN / page).read_text() == GENERATED["PAGES"][page](), "python man/generate.py makes it anew"


@pytest.mark.parametrize("kind", [kind for kind in KINDS.values() if kind is not Tap], ids=lambda kind: kind.__name__)
def test_every_option_of_a_kind_is_in_its_page_and_means_something(kind: type[Link]) -> None:
    page = plain("pvenetd-interfaces.5")
    known = meanings(kind)
    for spelling, (field, _) in options(kind).items():
        assert re.search(rf"^\.B .*\b{spelling}\b", page, re.MULTILINE), spelling
        assert known.get(field), f"{kind.__name__}.{field} has no docstring"


@pytest.mark.parametrize(
    "option",
    [
        *addressing.OPTIONS,
        *sysctls.OPTIONS,
        *PORT_OPTIONS,
        *vocabulary.PORT_OPTIONS,
        *vocabulary.PHASES,
        *NAT_OPTIONS,
        vocabulary.ALWAYS_OPTION,
    ],
)
def test_every_other_option_is_in_the_page(option: str) -> None:
    assert re.search(rf"^\.B .*(?<![\w-]){option}(?![\w-])", plain("pvenetd-interfaces.5"), re.MULTILINE)


@pytest.mark.parametrize("scope", FIREWALL_OPTIONS)
def test_every_option_of_a_firewall_file_means_something(scope: Scope) -> None:
    meanings = runpy.run_path(str(MAN / "firewall.py"))["MEANINGS"]
    assert meanings[scope].keys() == FIREWALL_OPTIONS[scope].keys()


def test_every_macro_is_in_the_page() -> None:
    page = plain("pvenetd-firewall.5")
    for macro in MACROS.values():
        assert f"\n.B {macro.name}\n{macro.about}: " in page, macro.name


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_route_says_what_it_does(route: Route) -> None:
    assert route.ask.__doc__


def test_every_code_is_documented_and_every_documented_one_is_told_of() -> None:
    source = "".join(path.read_text() for path in Path(pvenetd.__file__).parent.rglob("*.py"))
    assert {code for code, _ in [*ERRORS, *WARNINGS]} <= CODES.keys()
    assert set(re.findall(r"problem\(\s*[\w\"'-]+(?:\[0\])?,\s*\"([a-z]+(?:-[a-z]+)*)\"", source)) <= CODES.keys()
    assert [code for code in CODES if f'"{code}"' not in source] == []


def test_every_fault_and_attack_that_is_tried_has_its_line_and_no_line_is_stale() -> None:
    said = {(row.fault, row.command, row.guarantee) for row in written().values()}
    assert said == {(row.fault, row.command, row.guarantee) for row in marked().values()}, (
        "`make reliability` writes docs/reliability.md anew"
    )
