"""Names that are made of others: `SAM(adamw)`, a wrapper over an optimizer, and `muon+adamw`, matrices and the rest."""

import re
from typing import NamedTuple

WRAPPED = re.compile(r"([^()+\s]+)\s*\((.+)\)")


class Wrapped(NamedTuple):
    """A wrapper and the name of the optimizer inside."""

    outer: str
    inside: str


class Pair(NamedTuple):
    """The names of the optimizer for matrices and of that for the rest."""

    matrices: str
    rest: str


def modules_of(name: str) -> list[str]:
    """Return the top modules of the classes that a name gives by their paths: `["my_package"]`; none of PyTorch."""
    try:
        parts = parts_of(name)
    except ValueError:
        return []
    if parts is not None:
        return [module for part in parts for module in modules_of(part)]
    module, *rest = re.split("[.:]", name)
    return [module] if rest and module != "torch" else []


def parts_of(name: str) -> Wrapped | Pair | None:
    """Return the parts of a name that is made of others; None for a plain one.

    Raises ValueError for unbalanced parentheses and more than two optimizers in a pair.
    """
    depth, plus = 0, []
    for position, character in enumerate(name):
        depth += (character == "(") - (character == ")")
        if depth < 0:
            break
        if character == "+" and not depth:
            plus.append(position)
    if depth:
        raise ValueError("its parentheses do not match")
    if len(plus) > 1:
        raise ValueError("it joins more than two optimizers: one for matrices + one for the rest")
    if plus:
        pair = Pair(name[: plus[0]].strip(), name[plus[0] + 1 :].strip())
        if not all(pair):
            raise ValueError("it must name an optimizer for matrices + one for the rest, as muon+adamw does")
        return pair
    wrapped = WRAPPED.fullmatch(name.strip())
    if wrapped is None and "(" in name:
        raise ValueError("it must be a wrapper and the optimizer inside, as my_package.SAM(sgd)")
    return None if wrapped is None else Wrapped(wrapped[1], wrapped[2].strip())
