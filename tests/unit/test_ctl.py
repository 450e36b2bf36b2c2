"""pvenetctl without a daemon: exit statuses, checks, JSON, what is imported."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import pvenetd
from pvenetd.ctl import show_ports
from pvenetd.ctl.client import quote
from pvenetd.ctl.commands.every import COMMANDS
from pvenetd.ctl.complete import candidates
from pvenetd.ctl.main import _commands, main
from pvenetd.ctl.page import Table, clean, fitted, plain
from tests.unit.test_check import CASES, DATA, LINES

CODE = Path(pvenetd.__file__).parent.parent
Run = Callable[..., tuple[int, str, str]]

FILES = {
    "etc/network/interfaces": "auto vmbr0\niface vmbr0 inet static\n\taddress 192.0.2.1/24\n\tbridge-ports eth0\n",
    "etc/pvenetd/qemu-server/100.conf": "net0: virtio=02:00:5E:00:53:01,bridge=vmbr0,firewall=1\n",
    "etc/pvenetd/firewall/cluster.fw": "[OPTIONS]\nenable: 1\n",
    "etc/pvenetd/firewall/100.fw": "[OPTIONS]\nenable: 1\n[RULES]\nIN ACCEPT -p tcp -dport 22\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.fixture
def ctl(root: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run pvenetctl on *root*; return exit status, standard output and error.

    In a thread of its own: asyncio.run() would drop the event loop that pytest-asyncio before 1.0 keeps in this one.
    """

    def run(*words: str) -> tuple[int, str, str]:
        with ThreadPoolExecutor(1) as thread:
            try:
                status = thread.submit(main, ["--root", str(root), *words]).result()
            except SystemExit as ended:
                status = int(str(ended.code))
        return status, *capsys.readouterr()

    return run


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("", 2),
        ("vm", 2),
        ("nonsense", 2),
        ("vm show", 2),
        ("vm show web", 2),
        ("vm show 99", 2),
        ("vm plug 100 eth0", 2),
        ("vm plug 100 net32", 2),
        ("apply --confirm 0", 2),
        ("apply --confirm soon", 2),
        ("firewall compile --backend pf", 2),
        ("ifup", 2),
        ("ifdown", 2),
        ("ifreload -v", 2),
        ("ifreload -a", 1),
        ("status", 1),
        ("apply", 1),
        ("vm list", 1),
        ("hook qemu-ifup tap100i0", 1),
        ("hook qemu-ifdown tap100i0", 0),
        ("interfaces check --nics eth0", 0),
        ("interfaces check --nics eth1", 1),
        ("interfaces show vmbr0 --nics eth0", 0),
        ("interfaces show vmbr9 --nics eth0", 1),
        ("firewall check", 0),
        ("--version", 0),
        ("vm --help", 0),
    ],
)
def test_exit_status(ctl: Run, words: str, status: int) -> None:
    found, out, err = ctl(*words.split())
    assert (found, bool(err)) == (status, (status > 0 and "check" not in words) or "-ifdown" in words), (out, err)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_check_refuses_what_is_invalid_with_its_code_and_line(case: dict[str, Any], ctl: Run) -> None:
    path = DATA / case["file"]
    status, out, _ = ctl("interfaces", "check", str(path), "--nics", ",".join(case.get("nics", ())))
    assert status == int("invalid" in case), out
    if "invalid" in case:
        assert f"{path}:{LINES[case['id']]}: error {case['invalid']}: " in out
    found, out, _ = ctl("interfaces", "check", "--json", "--file", str(path), "--nics", ",".join(case.get("nics", ())))
    assert found == status
    problems = json.loads(out)["problems"]
    keys = {"severity", "code", "path", "line", "interface", "option", "message"}
    assert all(problem.keys() >= keys and problem["path"] == str(path) for problem in problems)


def test_a_file_is_checked_with_what_it_sources(ctl: Run, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "mine.d").mkdir()
    (root / "mine.d/one").write_text("iface a inet static\n\taddress x\n")
    (root / "etc/network/two").write_text("iface b inet static\n\taddress y\n")
    (root / "mine").write_text("source mine.d/*\nsource /etc/network/two\nsource none\n")
    monkeypatch.chdir(root)
    status, out, _ = ctl("interfaces", "check", "mine", "--nics", "")
    assert status == 1
    assert {line.split(": ")[0] + line.split(":")[2] for line in out.splitlines()} == {
        "mine:3 warning source-missing",
        "mine.d/one:2 error address",
        "/etc/network/two:2 error address",
    }
    status, out, _ = ctl("interfaces", "check", "nowhere", "--nics", "")
    assert (status, out) == (1, "nowhere:0: error syntax: cannot be read: No such file or directory\n")


def test_json_is_one_document_also_of_a_refusal(ctl: Run, root: Path) -> None:
    status, out, err = ctl("status", "--json")
    assert (status, json.loads(out)) == (1, {"message": err.strip()})
    (root / "etc/pvenetd/pvenetd.toml").write_text("[firewall]\nbackend = 'pf'\n")
    status, out, err = ctl("--json", "firewall", "check")
    assert status == 1
    assert json.loads(out)["problems"][0]["path"] == "/etc/pvenetd/pvenetd.toml"
    assert err.startswith("/etc/pvenetd/pvenetd.toml:2: error unknown-value: firewall.backend: ")


@pytest.mark.parametrize(
    "words", [["--json", "interfaces", "list"], ["interfaces", "--json", "list"], ["interfaces", "list", "--json"]]
)
def test_global_options_stand_anywhere(ctl: Run, words: list[str]) -> None:
    status, out, _ = ctl(*words, "--nics", "eth0")
    assert status == 0
    assert [record["iface"] for record in json.loads(out)] == ["vmbr0"]


def test_list_is_a_plain_table_when_piped(ctl: Run) -> None:
    _, out, _ = ctl("interfaces", "list", "--nics", "eth0")
    assert out.splitlines() == [
        "INTERFACE  TYPE    LINK    AUTO  ADDRESSES     CONSISTS OF  MTU",
        "vmbr0      bridge  absent  yes   192.0.2.1/24  eth0         -",
    ]


def test_a_wrong_firewall_file_is_told_with_its_line(ctl: Run, root: Path) -> None:
    (root / "etc/pvenetd/firewall/100.fw").write_text("[RULES]\nIN PERHAPS\n")
    status, out, _ = ctl("firewall", "check")
    assert status == 1
    assert out.startswith("/etc/pvenetd/firewall/100.fw:2: error ")


def test_nothing_of_the_kernel_is_asked_where_nics_are_given(root: Path) -> None:
    words = ["interfaces", "check", str(root / "etc/network/interfaces"), "--nics", "eth0"]
    code = f"""
import sys
from pvenetd.ctl.main import main
assert main({words!r}) == 0
assert not [name for name in sys.modules if name.startswith(("pyroute2", "pvenetd.drivers.netlink", "nftables"))]
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=CODE)


@pytest.mark.parametrize("words", [("status",), ("apply",), ("hook", "qemu-ifup", "tap100i0"), ("--help",)])
def test_a_command_for_the_daemon_starts_light(words: tuple[str, ...], tmp_path: Path) -> None:
    code = f"""
import atexit, sys
from pvenetd.ctl.main import main
heavy = {{"aiohttp", "asyncio", "dataclasses", "http", "pydantic", "pyroute2", "rich", "urllib"}}
try:
    main(["--root", {str(tmp_path)!r}, *{words!r}])
except SystemExit:
    pass
sys.exit(" ".join(heavy & set(sys.modules)) or 0)
"""
    isolated = [sys.executable, "-S", "-c", f"import sys; sys.path.insert(0, {str(CODE)!r})\n{code}"]
    done = subprocess.run(isolated, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert not done.returncode, done.stderr


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("vm ", ["adopt", "list", "lxc-config", "plug", "set", "show", "unplug"]),
        ("vm p", ["plug"]),
        ("vm plug ", ["100"]),
        ("vm plug 100 ", ["net0"]),
        ("--json vm plug 1", ["100"]),
        ("topology --format d", ["dot"]),
        ("firewall compile --v", ["--version", "--vmid"]),
        ("firewall compile --vmid ", ["100"]),
        ("vm list ", []),
        ("nonsense ", []),
        ("interfaces show l", ["lo"]),
    ],
)
def test_completion(root: Path, monkeypatch: pytest.MonkeyPatch, typed: str, found: list[str]) -> None:
    monkeypatch.setenv("PVENETD_ROOT", str(root))
    assert candidates(typed.split(" ")) == found


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command.words))
def test_every_command_is_completed_and_has_help(command: Any, ctl: Run) -> None:
    for number, word in enumerate(command.words):
        assert word in candidates([*command.words[:number], ""])
    status, out, _ = ctl(*command.words, "--help")
    assert status == 0
    assert f"pvenetctl {' '.join(command.words)}" in out
    assert command.help.split()[0].capitalize() in out


def test_what_steers_a_terminal_is_not_printed() -> None:
    assert clean("a\x1b[2J\x9bb\udcff\tc") == "a\ufffd[2J\ufffdb\ufffd\tc"
    assert plain(Table(("a",), [("\x1b[31m",)])) == "A\n\ufffd[31m\n"


MAC = "02:00:5e:00:53:01"
WIDE = Table(
    ("vmid", "name", "vlan", "mac", "source"), [("100", "w" * 25, "tagged 30-40", MAC, "qemu")], ("source", "mac")
)


@pytest.mark.parametrize(
    ("room", "widths", "left_out"),
    [
        (120, [4, 25, 12, 17, 6], []),
        (66, [4, 23, 8, 17, 6], []),  # the name, which is long, and what has a blank are broken
        (60, [4, 24, 9, 17], ["source"]),
        (50, [4, 25, 12], ["source", "mac"]),
        (20, [None, None, None], ["source", "mac"]),
    ],
)
def test_a_table_fits_a_terminal_and_keeps_its_words(room: int, widths: list[int | None], left_out: list[str]) -> None:
    table, found, missing = fitted(WIDE, room)
    assert (found, missing) == (widths, left_out)
    assert len(table.rows[0]) == len(widths)


def test_a_port_that_carries_all_vlans_is_one_row() -> None:
    own = {"bridge": "vmbr0", "port": "eno1", "mac": MAC, "dst": "", "origin": "own", "seconds": 0}
    (table,) = show_ports.forwarding([{**own, "vlan": vlan} for vlan in (1, 2, 3, 5)], argparse.Namespace())
    assert isinstance(table, Table)
    assert table.rows == [("vmbr0", "eno1", MAC, "1-3,5", "-", "own", "-", "-")]


def test_a_path_is_percent_encoded() -> None:
    assert quote("eth0:1/../é\udcff") == "eth0%3A1%2F..%2F%C3%A9%FF"


def test_each_first_word_has_all_of_its_commands_in_the_modules_that_are_imported_for_it() -> None:
    for first in {command.words[0] for command in COMMANDS}:
        for words in ([first], ["--json", first], ["--root", "/x", first]):
            assert [*_commands(words)] == [command for command in COMMANDS if command.words[0] == first]
    for words in ([], ["--help"], ["nothing"], ["--root", "status"], ["--json", "--root", "/", "status"]):
        assert [*_commands(words)] == [*COMMANDS]
