"""The settings of a study file as they are described: type, default and meaning, from a model's fields where it can."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from bench.settings.layers import field_type


@dataclass(frozen=True)
class Described:
    """One setting of a study file."""

    type: Any
    """What it may be, with its bounds, for pydantic."""
    default: Any
    """None: there is none of its own."""
    meaning: str
    """In full sentences, with the unit."""
    example: Any = None
    """A value to show in place of a default that would show nothing."""
    words: tuple[str, ...] = ()
    """What a text may be, where its type does not say so."""


def described(
    model: type[BaseModel],
    outside: Mapping[str, Described],
    derived: Iterable[str],
    words: Mapping[str, Iterable[str]],
) -> dict[str, Described]:
    """Settings of a kind of study: ``outside``, then the model's fields but for these and the ``derived`` ones.

    Of a field, the text below it is the meaning, and the first of its `examples` the example; ``words`` has what some
    of them may be.
    """
    left_out = {*outside, *derived}
    fields = {
        name: Described(
            field_type(model, name),
            None if field.is_required() else field.default,
            " ".join((field.description or "").split()),
            (field.examples or [None])[0],
            tuple(words.get(name, ())),
        )
        for name, field in model.model_fields.items()
        if name not in left_out
    }
    return {**outside, **fields}
