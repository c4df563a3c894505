"""The declaration of a setting: type, default, unit, bounds, meaning and flag, from a specification's fields.

Study files, their template, environment variables, `posebench config show`, flags and their help all come from it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from bench.settings.layers import field_type


@dataclass(frozen=True)
class Flag:
    """How a setting is typed where that is not `--its-name VALUE`: beside the type of a specification's field."""

    names: tuple[str, ...] = ()
    """All names of the flag; empty: the setting's own."""
    metavar: str = ""
    """What the help shows for its value; empty: by its type."""
    help: str = ""
    """What the help says; empty: the setting's meaning."""
    repeated: bool = False
    """Whether it may be given several times."""


@dataclass(frozen=True)
class Declaration:
    """One setting of a study."""

    type: Any
    """Its type with its bounds, for pydantic."""
    default: Any
    """None: no default of its own."""
    meaning: str
    """In full sentences, with the unit."""
    example: Any = None
    """A value to show in place of a default that would show nothing."""
    flag: Flag = field(default=Flag())

    @property
    def listed(self) -> Any:
        """The type of a list's values; None where it is no list of plain values."""
        lists = [each for each in alternatives(self.type) if get_origin(each) is tuple]
        return get_args(lists[0])[0] if lists and not self.is_table else None

    @property
    def is_table(self) -> bool:
        """Whether it is a table, or a list of tables: such a setting belongs into a study file."""
        kinds = alternatives(self.type)
        inner = [get_args(each)[0] for each in kinds if get_origin(each) is tuple]
        return any(get_origin(each) is dict for each in [*kinds, *inner])


def alternatives(kind: Any) -> list[Any]:
    """The types that a value may have, without their bounds and None."""
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) not in (Union, UnionType):
        return [kind]
    return [each for part in get_args(kind) if part is not NoneType for each in alternatives(part)]


def declarations_of(
    model: type[BaseModel], resolved: Mapping[str, Declaration], derived: Collection[str]
) -> dict[str, Declaration]:
    """The settings of a specification.

    Args:
        model: The specification: the text below a field is the meaning, the first of its `examples` the example.
        resolved: Settings that are resolved before the specification is built; they come first, and replace fields of
            the same name.
        derived: Fields that are no settings.
    """
    left_out = {*resolved, *derived}
    fields = {
        name: Declaration(
            field_type(model, name),
            None if each.is_required() else each.default,
            " ".join((each.description or "").split()),
            (each.examples or [None])[0],
            next((mark for mark in each.metadata if isinstance(mark, Flag)), Flag()),
        )
        for name, each in model.model_fields.items()
        if name not in left_out
    }
    return {**resolved, **fields}
