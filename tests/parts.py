"""The parts of `make test`: what each runs, and what it needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

TIME_LIMIT = 3000.0
"""Seconds a part may take: what hangs must end before the machine's patience does (90 minutes)."""

FAILURES = 10
"""Failed tests after which a part ends: where nothing works, each of them takes all its patience."""

PYTEST = ("-m", "pytest", "-p", "no:cacheprovider", "--hypothesis-profile=ci", "--durations=5", f"--maxfail={FAILURES}")
NATIVE = (".venv/bin/python", *PYTEST)
LAB = ("tests/lab/vmtest", f"--timeout={TIME_LIMIT - 60:g}", *NATIVE)
CLIENTS = "--ignore=tests/clients"
"""Other people's clients are PyPI's, and not on the Debian host."""
IN_HOST = ("tests/lab/hostvm", f"--timeout={TIME_LIMIT - 60:g}", "--")
HOST = (*IN_HOST, "python3", *PYTEST, CLIENTS)
INSTALLED = (
    *IN_HOST,
    *("tests/lab/installed", "python3", *PYTEST, "-m", "not host and not power", "tests/test_installed.py"),
)
"""Tests of the code as the package has installed it there; the first are that it is that code."""
LIBVIRT = tuple(f"tests/host/test_5_libvirt_{name}.py" for name in ("changes", "refusals", "wirings"))
LIVES = tuple(sorted({f"tests/host/{one.name}" for one in ROOT.glob("tests/host/test_5_libvirt*.py")} - {*LIBVIRT}))
"""Those whose guests have a system of their own, which takes ten seconds to boot."""
NOT_LINT = ("--ignore=tests/test_lint.py",)
DEBIANS_PROGRAMS = tuple(
    f"tests/kernel/test_{name}.py"
    for name in (
        "dhcp",
        "firewall_driver",
        "firewall_iptables",
        "firewall_rulesets",
        "firewall_words",
        "hooks",
        "iptables_driver",
        "netlink",
        "nflog",
        "programs",
        "resolver",
    )
)
"""The kernel's tests whose outcome hangs on Debian's programs and libraries; the rest of them is the lab's."""
DEBIAN = (
    *(f"tests/{name}" for name in ("unit", "golden", "api", "e2e", "test_docs.py")),
    # A libvirtd without its cache probes QEMU for minutes there; the part libvirt has the host's own.
    "--ignore=tests/e2e/test_libvirt.py",
    # Parts of their own have them: faults, faults-long.
    *(f"--ignore=tests/e2e/test_{name}.py" for name in ("clock", "flood", "kills", "monitor", "shortage")),
)
FAULTS = (
    *(f"tests/e2e/test_{name}.py" for name in ("clock", "kills", "monitor", "shortage")),
    *(f"tests/kernel/test_firewall_{name}.py" for name in ("floods", "frames", "guard")),
)
LONG_FAULTS = ("tests/e2e/test_flood.py", "tests/kernel/test_kill.py", "tests/kernel/test_kill_plug.py")
"""Kills at every step, and guests that flood through two hundred starts."""


@dataclass(frozen=True, slots=True)
class Part:
    """A command, and how its tests are counted."""

    name: str
    what: str
    command: tuple[str, ...]
    needs: tuple[str, ...] = ()
    """Parts that must have passed before."""
    group: str = ""
    """Of a group one part runs at a time: they would meet in the same kernel."""
    counts: str = "junit"
    """``junit``: pytest's report; ``one``: the command is one test; ``none``: a build, run at low priority."""
    only_named: bool = False
    """Whether it runs only where it is asked for by name."""
    environment: Callable[[], dict[str, str]] = dict
    """Asked when the part starts: what a part before it has made is known then."""


def _package() -> dict[str, str]:
    """Return where the part deb has put the package."""
    return {"PVENET_DEB": str(min(ROOT.glob("dist/pvenetd_*.deb")))}


PARTS = (
    Part("kernel", "the lab's kernel", ("tests/lab/uml-kernel",), counts="none"),
    Part("image", "the lab's Debian host", ("tests/lab/hostvm", "--build"), needs=("kernel",), counts="none"),
    Part(
        "native",
        "this machine's kernel",
        (*NATIVE, "-m", "not lab and not host and not power and not reboot", *NOT_LINT),
        group="netns",
    ),
    Part("lint", "style, types, imports, shell", (*NATIVE, "tests/test_lint.py")),
    Part("deb", "the Debian package", ("tests/build-deb",), counts="one"),
    Part(
        "sandbox",
        "a host with a guest, once through",
        (".venv/bin/python", "-m", "tests.sandbox"),
        group="netns",
        counts="one",
        environment=lambda: {"ONCE": "1"},
    ),
    Part(
        "fuzz",
        "the API as nobody meant it",
        (".venv/bin/python", "-m", "tests.fuzz"),
        group="netns",
        counts="one",
    ),
    Part(
        "readers",
        "readers fed with anything",
        (".venv/bin/python", "-m", "tests.fuzz.readers"),
        counts="one",
    ),
    Part("power", "power cuts at each moment of an apply", (*NATIVE, "-m", "power"), needs=("kernel",)),
    # What the daemon does on that kernel is seen on the Debian host, which has it, too; and what is about kernels
    # without bridge conntrack natively.
    Part(
        "lab",
        "the full kernel",
        (*LAB, "-m", "lab or netns and not daemon and not no_bridge_conntrack"),
        needs=("kernel",),
    ),
    # The longest of those that come behind the first two.
    Part(
        "debian",
        "the daemon on Debian",
        (*INSTALLED, *DEBIAN),
        needs=("image", "deb"),
        environment=_package,
    ),
    Part(
        "host",
        "the package on a Debian host",
        (*HOST, "-m", "host", "--ignore-glob=tests/host/test_[568]_*"),
        needs=("image", "deb"),
        environment=_package,
    ),
    Part(
        "classic",
        "the package beside classic ifupdown, and in its place",
        (*HOST, "-m", "host", "tests/host/test_8_classic.py"),
        needs=("image", "deb"),
        only_named=True,  # its host is another one: it has to boot, and ifupdown2 has to go
        environment=_package,
    ),
    Part(
        "reboot",
        "a Debian host that boots again",
        (*NATIVE, "-m", "reboot", "tests/reboot"),
        needs=("image", "deb"),
        environment=_package,
    ),
    Part(
        "libvirt",
        "libvirt's guests on a Debian host",
        (*HOST, "-m", "host", *LIBVIRT),
        needs=("image", "deb"),
        environment=_package,
    ),
    Part(
        "libvirt-lives",
        "their lives, migrations and restarts",
        (*HOST, "-m", "host", *LIVES),
        needs=("image", "deb"),
        only_named=True,  # guests within a guest, that boot: four minutes or more
        environment=_package,
    ),
    Part(
        "lxc",
        "containers of LXC's on a Debian host",
        (*HOST, "-m", "host", "tests/host/test_6_lxc.py"),
        needs=("image", "deb"),
        environment=_package,
    ),
    Part(
        "debian-kernel",
        "the kernel by Debian's programs",
        (*INSTALLED, *DEBIANS_PROGRAMS),
        needs=("image", "deb"),
        environment=_package,
    ),
    Part(
        "faults",
        "faults and attacks, on the installed code",
        (*INSTALLED, *FAULTS),
        needs=("image", "deb"),
        environment=_package,
    ),
    Part(
        "faults-long",
        "those that go on for long",
        (*INSTALLED, *LONG_FAULTS),
        needs=("image", "deb"),
        only_named=True,  # five minutes or more
        environment=_package,
    ),
)
