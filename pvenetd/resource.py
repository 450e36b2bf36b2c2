"""What the host can have: one record, comparable field by field.

A `Resource` is desired (from the configuration) or current (from the kernel); both are the
same type, so that plan, verify, rollback and drift are the same comparison.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict

Key = tuple[str, ...]
"""Names a resource: its noun, then what tells it from its like: ``("link", "vmbr0")``."""

Changes = dict[str, tuple[object, object]]
"""Field → (value now, value wanted)."""


class Resource(BaseModel):
    """Something the host has or should have.

    A field whose value is None says nothing: desired, it means "leave as it is"; current,
    that the kernel does not tell.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    noun: ClassVar[str]
    rank: ClassVar[int] = 5
    """Among operations that need not wait for each other, lower ranks run first."""
    fixed: ClassVar[frozenset[str]] = frozenset()
    """Fields that cannot be changed in place: the resource is deleted and added anew."""
    named: ClassVar[frozenset[str]] = frozenset()
    """Fields that its key is made of."""
    silent: ClassVar[frozenset[str]] = frozenset({"origin"})
    """Fields that are carried along and never compared."""

    owner: str = ""
    """Who wants it: ``interfaces``, ``firewall``, ``vm:100``; current, who its mark names."""
    origin: str = ""
    """``FILE:LINE`` it was configured at."""

    @classmethod
    def shown(cls, **values: Any) -> Self:
        """Return what the kernel shows, unchecked: `model_construct` at a tenth of its cost, for thousands of links."""
        found = cls.__new__(cls)
        object.__setattr__(found, "__dict__", _defaults(cls) | values)
        object.__setattr__(found, "__pydantic_fields_set__", set(values))
        object.__setattr__(found, "__pydantic_extra__", None)
        object.__setattr__(found, "__pydantic_private__", None)
        return found

    @property
    def key(self) -> Key:
        """Return what names this resource among all of the host's."""
        raise NotImplementedError

    @property
    def order(self) -> int:
        """Return its rank; a noun may have early and late members."""
        return self.rank

    @property
    def needs(self) -> frozenset[Key]:
        """Return the keys to have before this one, and to keep until it is gone."""
        return frozenset()

    @property
    def dies_with(self) -> frozenset[Key]:
        """Return the keys whose deletion makes the kernel delete this one too."""
        return frozenset()

    @property
    def redone_with(self) -> Key | None:
        """Return the key of the link with whose coming up this one is undone and done again."""
        return None

    @property
    def deletable(self) -> bool:
        """Return whether it goes when it is deleted; a NIC is only let go, and stays."""
        return True

    @property
    def creatable(self) -> bool:
        """Return whether an operation can make it; a physical NIC has to turn up."""
        return True

    def changes(self, current: Resource) -> Changes:
        """Return the fields in which *current* differs from this, the desired one."""
        there = vars(current)
        return {
            name: (there.get(name), value)
            for name, value in vars(self).items()
            if value is not None and there.get(name) != value and name not in self.silent
        }

    def remade(self, current: Resource) -> bool:
        """Return whether *current* has to be deleted and this one made anew."""
        was, wanted = vars(current), vars(self)
        differs = any(wanted.get(name) is not None and was.get(name) != wanted[name] for name in self.fixed)
        return differs and bool(self.changes(current).keys() & self.fixed)

    def kept(self, desired: Mapping[Key, Resource]) -> bool:  # noqa: ARG002 - one end of a pair asks for the other
        """Return whether this current one stays though nobody wants it, because one of *desired* implies it."""
        return False

    def possible(self, desired: Mapping[Key, Resource]) -> bool:  # noqa: ARG002 - one end of a pair asks for the other
        """Return whether the kernel can have this among all that is *desired*."""
        return True

    def filled(self, current: Self) -> Self:
        """Return this one with *current*'s values where it says nothing."""
        known = {name: getattr(current, name, None) for name, value in vars(self).items() if value is None}
        return self.model_copy(update=known) if known else self

    def after(self, gone: frozenset[Key]) -> Self:  # noqa: ARG002 - links lose their master with it
        """Return what is left of this current one once *gone* have been deleted."""
        return self

    def describe(self) -> str:
        """Return the words that name it in a plan: ``link vmbr0``."""
        return " ".join(self.key)

    def details(self) -> list[str]:
        """Return ``field=value`` for what a plan shows when it is added."""
        return [
            f"{name}={spell(value)}"
            for name, value in self
            if name not in self.silent | self.named | {"owner"}
            and name in self.model_fields_set
            and value not in (None, "", ())
        ]


@cache
def _defaults(kind: type[Resource]) -> dict[str, Any]:
    """Return every field of *kind* in order, with its default, None where it has none."""
    return {
        name: None if field.is_required() else field.get_default(call_default_factory=True)
        for name, field in kind.model_fields.items()
    }


def spell(value: Any) -> str:
    """Return *value* as a plan prints it: ``yes``, ``1-4,10``, ``-`` for nothing."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple | frozenset | list):
        return ",".join(spell(item) for item in value) or "-"
    return str(value) if value not in (None, "") else "-"
