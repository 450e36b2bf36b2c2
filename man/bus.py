"""What org.pvenetd1(5) has, made from the table that the service answers by."""

from __future__ import annotations

from typing import Any

from pvenetd.bus.table import METHODS, NAME, PATH, PROPERTIES, SIGNALS, Argument


def page(header: Any, entries: Any, escape: Any) -> str:
    """Return the page; *header*, *entries* and *escape* are the generator's."""
    lines = [
        *header(NAME, 5, "pvenetd on the system bus"),
        ".SH DESCRIPTION",
        f"The daemon has the name {NAME} on the system bus, where there is one, and the object {PATH} with the",
        f"interface {NAME}. A call is a request of the API under another name: it is checked, refused and logged",
        "alike. Types are those of the D\\-Bus specification: s text, b yes or no, u number, as list of texts.",
        ".SH METHODS",
        "polkit(8) is asked for the action that is named; without polkit, root alone may. Members of the group",
        "pvenetd may, by the rule that is installed.",
    ]
    lines += entries(
        (f"{one.name}({_said(one.given)}) -> ({_said(one.answered)})", f"{one.doc} Action: {NAME}.{one.action}.")
        for one in METHODS.values()
    )
    lines += [".SH PROPERTIES", "Everybody may read them. That one may be another now is told by PropertiesChanged."]
    lines += entries((f"{one.name} {one.type}", one.doc) for one in PROPERTIES.values())
    lines += [
        ".SH SIGNALS",
        "What happens within a tenth of a second is one signal, with at most 100 texts: operations as in",
        "\\fBpvenetctl plan\\fR, and what was decided about them.",
    ]
    lines += entries((f"{one.name}({_said(one.given)})", one.doc) for one in SIGNALS.values())
    lines += [
        ".SH ERRORS",
        f"{NAME}.Error.NotFound, .Config, .Conflict, .BadParameters, .Kernel, .Verify, .Unreachable,",
        "\\&.CutsOff and .Unavailable have the text that the API's message has; who may not gets",
        "org.freedesktop.DBus.Error.AccessDenied.",
        ".SH SETTINGS",
        "[dbus] address in etc/pvenetd/pvenetd.toml, \\fBpvenetd\\fR(8). It needs python3\\-dbus\\-fast.",
        ".SH EXAMPLES",
        ".nf",
        *(
            escape(line)
            for line in (
                f"busctl introspect {NAME} {PATH}",
                f"busctl get-property {NAME} {PATH} {NAME} State",
                f"busctl call {NAME} {PATH} {NAME} Apply u 60",
                f"busctl call {NAME} {PATH} {NAME} PlugNic us 100 net0",
                f"busctl monitor {NAME}",
            )
        ),
        ".fi",
        ".SH SEE ALSO",
        "\\fBpvenetd\\fR(8), \\fBpvenetctl\\fR(1), \\fBbusctl\\fR(1), \\fBpolkit\\fR(8)",
    ]
    return "\n".join(lines) + "\n"


def _said(arguments: tuple[Argument, ...]) -> str:
    return ", ".join(f"{one.name} {one.type}" for one in arguments)
