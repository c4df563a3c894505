"""Short names of optimizers for sentences, tables and figures: `RAdam` for `torch.optim.RAdam` if unambiguous."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping

DOTTED_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")

MARK = "†"
"""Mark behind the name of an optimizer that does not follow the study's schedule; a footnote says why."""


def marked(names: Mapping[str, str], others: Collection[str]) -> dict[str, str]:
    """Return short names by full name, with a mark behind those of ``others``."""
    return {name: f"{short}{MARK}" if name in others else short for name, short in names.items()}


def short_names(names: Iterable[str]) -> dict[str, str]:
    """Return the short name of each optimizer: of a dotted path, its shortest ending that no other name shares.

    Upper and lower case count as equal: `torch.optim.RAdam` beside `radam` is `optim.RAdam`. In a name made of several,
    `my_package.SAM(my_package.Lion)`, each is shortened.
    """
    names = list(dict.fromkeys(names))
    ends = {name: _ends(name) for name in names}
    times = Counter(end.lower() for own in ends.values() for end in own)
    return {name: next((end for end in own if times[end.lower()] == 1), name) for name, own in ends.items()}


def _ends(name: str) -> list[str]:
    """Return the endings of a dotted path: `c`, `b.c`, `a.b.c` for `a.b.c`; of a name made of several, of each."""
    pieces = re.split(r"([()+])", name)
    paths = [piece.split(".") if DOTTED_PATH.fullmatch(piece) else [piece] for piece in pieces]
    return ["".join(".".join(path[-count:]) for path in paths) for count in range(1, max(map(len, paths)) + 1)]
