"""Find the places of a source file where a mutant can be planted, and choose some of them by a seed.

In: source text. Out: `Mutant`s, each one edit of one file. Never runs a test, never writes a file.
"""

import ast
import random
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tests.mutants.kinds import KINDS, WAITING, Source, called, is_number, is_unseen

MOST_IN_A_FILE = 2
"""Mutants of one file, at most: so that no large file stands for the whole suite (the issue's rule)."""

LEFT_OUT_FILES = re.compile(r"^bench/speed/|(^|/)__main__\.py$")
"""Benchmarks of the suite itself, whose numbers no test compares, and entry points that only call another module."""
OTHER_DEVICES = re.compile(r"(?<![a-z])(cuda|mps)(?![a-z])", re.IGNORECASE)
"""Code for devices that the machines which run the tests lack."""
LOG_CALLS = {"log", "say", "warn", "debug", "info", "warning", "sleep"}
"""Functions whose arguments are messages or waiting times."""


@dataclass(frozen=True, order=True)
class Mutant:
    """One edit of one file."""

    path: str
    """The file, relative to the repository."""
    line: int
    """Line number of the edit's begin."""
    start: int
    """First byte that is replaced."""
    end: int
    """The byte after the last one."""
    replacement: str
    kind: str
    """A key of `KINDS`."""
    lines: tuple[int, ...]
    """A test that runs one of these lines covers the mutant: the edit's lines (its statement's, where the edit is an
    operator alone in its line); for a constant, the lines that use it."""

    def planted(self, source: bytes) -> bytes:
        """The file with the fault in it."""
        return source[: self.start] + self.replacement.encode() + source[self.end :]

    def shown(self, source: bytes) -> tuple[str, str]:
        """The edit's lines before and after, each as one line."""
        first, last = source.rfind(b"\n", 0, self.start) + 1, source.find(b"\n", self.end)
        last = len(source) if last < 0 else last
        after = source[first : self.start] + self.replacement.encode() + source[self.end : last]
        return " ".join(source[first:last].decode().split()), " ".join(after.decode().split())


_OF_CONSTANTS = ("constant", "low and high")
"""Kinds that are planted in a module's constants."""


def mutants(path: str, content: bytes) -> list[Mutant]:
    """All that can be planted in a file, in its order."""
    if LEFT_OUT_FILES.search(path):
        return []
    source = Source(content)
    uses = _uses(source)
    found = []
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.expr | ast.stmt | ast.comprehension | ast.excepthandler):
            continue
        name = _constant_name(node, source)
        if name is None and not _is_run_by_tests(node, source):
            continue
        for kind in KINDS if name is None else _OF_CONSTANTS:
            for start, end, replacement in KINDS[kind](node, source):
                line = source.line(start)
                lines = _lines(node, start, end, source) if name is None else uses.get(name, ())
                found.append(Mutant(path, line, start, end, replacement, kind, lines))
    return sorted(found)


def choose(candidates: Sequence[Mutant], *, count: int, seed: int, statements: Mapping[str, int]) -> list[Mutant]:
    """So many of them at random: each kind as often as the others, each package by its number of statements.

    ``statements`` is by package, a path's first folder. Fewer than ``count`` where the rules leave no more.
    """
    draw = random.Random(seed)
    left = _shares(count, statements)
    by_kind = {kind: [each for each in candidates if each.kind == kind] for kind in KINDS}
    in_file: Counter[str] = Counter()
    chosen: list[Mutant] = []
    while len(chosen) < count and any(by_kind.values()):
        for kind in draw.sample(list(KINDS), len(KINDS)):
            by_kind[kind] = [
                each
                for each in by_kind[kind]
                if left[each.path.partition("/")[0]] > 0
                and in_file[each.path] < MOST_IN_A_FILE
                and not any(each.path == other.path and each.line == other.line for other in chosen)
            ]
            if by_kind[kind] and len(chosen) < count:
                chosen.append(draw.choice(by_kind[kind]))
                in_file[chosen[-1].path] += 1
                left[chosen[-1].path.partition("/")[0]] -= 1
    return sorted(chosen)


def count_statements(content: bytes) -> int:
    """Statements of a file, those in bodies too."""
    return sum(isinstance(node, ast.stmt) for node in ast.walk(ast.parse(content)))


def _shares(count: int, statements: Mapping[str, int]) -> dict[str, int]:
    """``count`` split by the packages' sizes; what rounding leaves goes to the first."""
    total = sum(statements.values())
    shares = {package: count * size // total for package, size in statements.items()}
    shares[min(shares)] += count - sum(shares.values())
    return shares


def _is_run_by_tests(node: ast.AST, source: Source) -> bool:
    """Whether a node is in a function's body, and not in what is left out."""
    in_body = False
    chain = [(node, ""), *source.ancestors(node)]
    for each, field in chain:
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef):
            in_body = in_body or field == "body"
            if (each is not node and field != "body") or OTHER_DEVICES.search(each.name):
                return False
        if isinstance(each, ast.JoinedStr | ast.arg) or field in ("annotation", "returns", "decorator_list"):
            return False  # Python 3.11 has no positions for what is in an f-string
        if isinstance(each, ast.Call) and called(each) in LOG_CALLS:
            return False
        if isinstance(each, ast.Expr) and isinstance(each.value, ast.Call) and called(each.value) in LOG_CALLS:
            return False
        if isinstance(each, ast.keyword) and is_unseen(each.arg or ""):
            return False
        if isinstance(each, ast.If) and field == "body" and _is_elsewhere(ast.unparse(each.test)):
            return False
    return in_body and not OTHER_DEVICES.search(_text_of(source.statement_lines(node), source))


def _is_elsewhere(test: str) -> bool:
    """Whether a condition asks for a type checker, a started program, or a device."""
    return "TYPE_CHECKING" in test or "__name__" in test or OTHER_DEVICES.search(test) is not None


def _constant_name(node: ast.AST, source: Source) -> str | None:
    """The name that a module gives to a number, or to a tuple of numbers, where ``node`` is that or a part of it."""
    chain = [node, *(each for each, _ in source.ancestors(node))]
    if not isinstance(chain[-1], ast.Module) or len(chain) < 3 or not isinstance(node, ast.expr):
        return None
    own = chain[-2]
    targets = own.targets if isinstance(own, ast.Assign) else [own.target] if isinstance(own, ast.AnnAssign) else []
    if len(targets) != 1 or not isinstance(targets[0], ast.Name) or WAITING.search(targets[0].id):
        return None
    value = own.value  # type: ignore[attr-defined]
    numbers = value.elts if isinstance(value, ast.Tuple | ast.List) else [value]
    if not numbers or not all(map(is_number, numbers)) or node not in (value, *numbers):
        return None
    return targets[0].id


def _lines(node: ast.AST, start: int, end: int, source: Source) -> tuple[int, ...]:
    """The lines of an edit, or of its statement where none of them is one that can run."""
    lines = tuple(range(source.line(start), source.line(end - 1) + 1))
    return lines if source.executable.intersection(lines) else source.statement_lines(node)


def _uses(source: Source) -> dict[str, tuple[int, ...]]:
    """For each name, the lines in functions' bodies that use it."""
    lines: dict[str, set[int]] = {}
    for node in ast.walk(source.tree):
        in_body = any(isinstance(each, ast.FunctionDef) and field == "body" for each, field in source.ancestors(node))
        if in_body and isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            lines.setdefault(node.id, set()).add(node.lineno)
    return {name: tuple(sorted(own)) for name, own in lines.items()}


def _text_of(lines: Iterable[int], source: Source) -> str:
    """The text of lines, by their numbers."""
    every = source.text.decode().splitlines()
    return "\n".join(every[line - 1] for line in lines)
