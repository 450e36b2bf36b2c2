"""What fields mean: their docstrings, which Python does not keep, read from the source.

For documents, man pages and the API's description; nothing else needs them.
"""

from __future__ import annotations

import ast
import inspect
import sys
from functools import cache
from typing import Any


def meanings(kind: type[Any]) -> dict[str, str]:
    """Return field → docstring of the class *kind* and what it inherits from ours."""
    found: dict[str, str] = {}
    for base in _bases(kind):
        if base.__module__.startswith("pvenetd."):
            found |= _of_module(base.__module__).get(base.__qualname__, {})
    return found


def _bases(kind: type[Any]) -> list[type[Any]]:
    """Return what *kind* is made of, the most general first; a TypedDict is a plain dict to Python."""
    if kind.__mro__[1:] != (dict, object):
        return [*reversed(kind.__mro__)]
    bases = [base for base in getattr(kind, "__orig_bases__", ()) if isinstance(base, type)]
    return [*(one for base in bases for one in _bases(base)), kind]


@cache
def _of_module(name: str) -> dict[str, dict[str, str]]:
    classes = ast.parse(inspect.getsource(sys.modules[name])).body
    return {node.name: _docstrings(node) for node in classes if isinstance(node, ast.ClassDef)}


def _docstrings(body: ast.ClassDef) -> dict[str, str]:
    return {
        field.target.id: inspect.cleandoc(text.value.value)
        for field, text in zip(body.body, body.body[1:], strict=False)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }
