"""What ``auto`` and ``allow-…`` name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches
from fnmatch import fnmatchcase

from pvenetd.check.scene import Scene
from pvenetd.errors import Problem
from pvenetd.interfaces.stanza import Selection

_PATTERN = re.compile(r"[/*?\[=#\\$%{]")
"""What makes a word something else than a name (interfaces(5): INTERFACE SELECTION; ifupdown2's templates)."""
_SUGGESTIONS = 2000
"""Names compared at most for a hint, all in all."""


def unknown(scene: Scene) -> Iterator[Problem]:
    """Find names that are to come up and have no stanza; a mapping's are its script's matter."""
    mapped = [pattern for mapping in scene.config.mappings for pattern in mapping.patterns]
    left = _SUGGESTIONS
    for stanza in scene.config.stanzas:
        if not isinstance(stanza, Selection) or stanza.group is None:
            continue
        for name in stanza.names:
            known = name in scene.config.by_name or _PATTERN.search(name) or (name == "lo")
            if known or any(fnmatchcase(name, pattern) for pattern in mapped):
                continue
            near = get_close_matches(name, scene.devices, 1, 0.8) if left > 0 else []
            left -= len(scene.devices)
            hint = f"did you mean {near[0]}?" if near else f"iface {name} inet manual, or drop the name"
            message = f"{stanza.head.name} {name}: no iface stanza has that name"
            yield Problem(stanza.path, stanza.line, "missing-stanza", message, "warning", hint, name, stanza.head.name)
