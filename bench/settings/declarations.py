"""Declarations of settings (type, bounds, default, meaning with unit, flag), read from a specification's fields.

Study files, `posebench study new`, environment variables, `posebench config show`, flags and their help use them.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from bench.settings.layers import field_type


@dataclass(frozen=True)
class Flag:
    """Command-line flag of a setting that differs from `--its-name VALUE`; an annotation of the field's type."""

    names: tuple[str, ...] = ()
    """All names of the flag; empty: made from the setting's name."""
    metavar: str = ""
    """Placeholder of the value in the help; empty: made from the type."""
    help: str = ""
    """Help text; empty: the setting's meaning."""
    repeated: bool = False
    """True: the flag may be given several times."""


@dataclass(frozen=True)
class Declaration:
    """One setting of a study."""

    type: Any
    """Type with bounds, as pydantic takes it."""
    default: Any
    """None: no default."""
    meaning: str
    """Full sentences with the unit; help of the flag and comment of the study file."""
    example: Any = None
    """Value shown in study files if there is no default to show."""
    flag: Flag = field(default=Flag())

    @property
    def list_item_type(self) -> Any:
        """Type of a list's values; None if the setting is not a list of plain values."""
        lists = [each for each in alternatives(self.type) if get_origin(each) is tuple]
        return get_args(lists[0])[0] if lists and not self.is_table else None

    @property
    def is_table(self) -> bool:
        """True for a table or a list of tables, which only a study file can hold."""
        kinds = alternatives(self.type)
        inner = [get_args(each)[0] for each in kinds if get_origin(each) is tuple]
        return any(get_origin(each) is dict for each in [*kinds, *inner])


def alternatives(kind: Any) -> list[Any]:
    """Return the types that a value may have, without bounds and without None."""
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) not in (Union, UnionType):
        return [kind]
    return [each for part in get_args(kind) if part is not NoneType for each in alternatives(part)]


def declarations_of(
    model: type[BaseModel], resolved: Mapping[str, Declaration], derived: Collection[str]
) -> dict[str, Declaration]:
    """Return the settings of a specification by name.

    Args:
        model: The specification; a field's docstring is its meaning, the first of its `examples` the example.
        resolved: Settings that are resolved before the specification is built. They come first and replace fields of
            the same name.
        derived: Fields that users cannot set.
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
