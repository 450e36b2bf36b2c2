"""What ``org.pvenetd1`` has, as data: for the service, its introspection and its manual page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from xml.sax.saxutils import quoteattr

NAME = "org.pvenetd1"
"""The name on the bus, and that of the interface."""
PATH = "/org/pvenetd1"


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a method or a signal."""

    name: str
    type: str
    """Its D-Bus signature, one complete type."""


@dataclass(frozen=True, slots=True)
class Method:
    """What can be asked."""

    name: str
    doc: str
    given: tuple[Argument, ...]
    answered: tuple[Argument, ...]
    action: str
    """What polkit is asked for, below ``org.pvenetd1.``."""

    @property
    def signature(self) -> str:
        """Return the signature of what is given."""
        return "".join(one.type for one in self.given)

    @property
    def answer(self) -> str:
        """Return the signature of the answer."""
        return "".join(one.type for one in self.answered)


@dataclass(frozen=True, slots=True)
class Property:
    """What can be read; that it may be another now is told without its value."""

    name: str
    type: str
    doc: str


@dataclass(frozen=True, slots=True)
class Signal:
    """What is told."""

    name: str
    doc: str
    given: tuple[Argument, ...]


_OPERATIONS = Argument("operations", "as")
_OUTCOME = Argument("outcome", "s")
_ID = Argument("id", "s")
_WHAT = Argument("what", "as")
_GUEST = (Argument("vmid", "u"), Argument("nic", "s"))

METHODS = {
    one.name: one
    for one in (
        Method(
            "Apply",
            "Make what is staged active, and bring the kernel to it.  With confirm other than 0, it is rolled back "
            "after so many seconds unless Confirm comes; id names it then.",
            (Argument("confirm", "u"),),
            (_OPERATIONS, _OUTCOME, _ID),
            "apply",
        ),
        Method(
            "Confirm",
            "Keep what was applied; an empty id means whichever waits.",
            (_ID,),
            (_OUTCOME, _ID),
            "apply",
        ),
        Method(
            "Rollback",
            "Undo what waits to be confirmed, or return to the configuration before the last apply.",
            (),
            (_OUTCOME,),
            "apply",
        ),
        Method("PlugNic", "Plug a guest's NIC (net0), all for an empty name.", _GUEST, (_OPERATIONS,), "plug"),
        Method("UnplugNic", "Unplug a guest's NIC (net0), all for an empty name.", _GUEST, (_OPERATIONS,), "plug"),
    )
}
PROPERTIES = {
    one.name: one
    for one in (
        Property("Version", "s", "The daemon's version."),
        Property("Mode", "s", "Who owns the host's interfaces: owner (pvenetd) or guest (another ifupdown)."),
        Property("State", "s", "in sync, staged, differs, waiting for confirmation, or broken."),
        Property("Staged", "b", "Whether an edit waits to be applied."),
        Property("Pending", "s", "The apply that waits to be confirmed, empty where none does."),
        Property("Guests", "au", "The VMIDs of the guests that are known."),
        Property("Firewall", "b", "Whether the firewall is on."),
        Property("FirewallDrift", "as", "Parts of the ruleset that are not loaded as the files have them."),
        Property("FirewallLacks", "as", "What rules may need and this kernel does not have, and what that means."),
        Property("Failed", "as", "What is not as the files say: interfaces, firewall, vm:100, …"),
    )
}
SIGNALS = {
    one.name: one
    for one in (
        Signal("ConfigurationChanged", "Something was done to, or decided about, the host's interfaces.", (_WHAT,)),
        Signal("GuestChanged", "Something was done for a guest, or it told something.", (_GUEST[0], _WHAT)),
        Signal("FirewallChanged", "Chains were loaded or taken away, or rules wait, or are confirmed.", (_WHAT,)),
    )
}

_STANDARD = """\
  <interface name="org.freedesktop.DBus.Introspectable">
    <method name="Introspect"><arg type="s" direction="out"/></method>
  </interface>
  <interface name="org.freedesktop.DBus.Peer">
    <method name="Ping"/>
    <method name="GetMachineId"><arg type="s" direction="out"/></method>
  </interface>
  <interface name="org.freedesktop.DBus.Properties">
    <method name="Get">
      <arg type="s" direction="in"/><arg type="s" direction="in"/><arg type="v" direction="out"/>
    </method>
    <method name="GetAll"><arg type="s" direction="in"/><arg type="a{sv}" direction="out"/></method>
    <method name="Set">
      <arg type="s" direction="in"/><arg type="s" direction="in"/><arg type="v" direction="in"/>
    </method>
    <signal name="PropertiesChanged"><arg type="s"/><arg type="a{sv}"/><arg type="as"/></signal>
  </interface>
"""
_HEAD = """\
<!DOCTYPE node PUBLIC "-//freedesktop//DTD D-BUS Object Introspection 1.0//EN"
  "http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd">
"""


def introspection(path: str) -> str | None:
    """Return what stands at *path* and below it, None where that is nothing."""
    if path == PATH:
        return f"{_HEAD}<node>\n{_STANDARD}{''.join(_ours())}</node>\n"
    above = PATH if path == "/" else PATH.removeprefix(path)
    if not PATH.startswith(path) or not above.startswith("/"):
        return None
    return f'{_HEAD}<node>\n  <node name="{above.split("/")[1]}"/>\n</node>\n'


def _ours() -> Iterator[str]:
    yield f'  <interface name="{NAME}">\n'
    for method in METHODS.values():
        yield f'    <method name="{method.name}">\n{_doc(method.doc)}'
        for way, some in (("in", method.given), ("out", method.answered)):
            yield from (f'      <arg name="{one.name}" type="{one.type}" direction="{way}"/>\n' for one in some)
        yield "    </method>\n"
    for signal in SIGNALS.values():
        yield f'    <signal name="{signal.name}">\n{_doc(signal.doc)}'
        yield from (f'      <arg name="{one.name}" type="{one.type}"/>\n' for one in signal.given)
        yield "    </signal>\n"
    for one in PROPERTIES.values():
        yield f'    <property name="{one.name}" type="{one.type}" access="read">\n{_doc(one.doc)}'
        yield '      <annotation name="org.freedesktop.DBus.Property.EmitsChangedSignal" value="invalidates"/>\n'
        yield "    </property>\n"
    yield "  </interface>\n"


def _doc(text: str) -> str:
    return f'      <annotation name="org.gtk.GDBus.DocString" value={quoteattr(text)}/>\n'
