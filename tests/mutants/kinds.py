"""The kinds of mutants: for each, the edits that it makes at a node of a syntax tree."""

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from types import CodeType

WAITING = re.compile(r"(_S|_MS|TIMEOUT)$", re.IGNORECASE)
"""Names of timeouts and poll intervals: another value only changes how long something takes."""
UNSEEN_KEYWORDS = {"help", "metavar", "rich_help_panel", "epilog", "encoding", "stacklevel", "strict"}
"""Keyword arguments that are text for people, the default on Linux (UTF-8), or only ask whether the code is right."""
ORDERLESS_CALLS = {"min", "max", "minimum", "maximum", "isclose", "allclose", "array_equal", "equal", "gcd"} | {
    "isinstance", "issubclass", "hasattr", "getattr", "setattr", "cast",
}  # fmt: skip
"""Functions that swapped arguments leave as they are, or that fail at once with them."""
GROWTH = 1.1
"""Factor of a mutated float: larger than rounding, small enough to be a plausible mistake."""

Edit = tuple[int, int, str]
"""First byte, byte after the last one, replacement."""


class Source:
    """A file's syntax tree, with each node's parent and bytes."""

    def __init__(self, text: bytes) -> None:
        """Parses the text."""
        self.text = text
        self.tree = ast.parse(text)
        self.executable = _executable(compile(self.tree, "source", "exec"))
        """Numbers of the lines that coverage can see run."""
        self._begins = [0]
        for line in text.splitlines(keepends=True):
            self._begins.append(self._begins[-1] + len(line))
        self.parents: dict[ast.AST, tuple[ast.AST, str]] = {}
        for parent in ast.walk(self.tree):
            for name, value in ast.iter_fields(parent):
                for child in value if isinstance(value, list) else [value]:
                    if isinstance(child, ast.AST):
                        self.parents[child] = parent, name

    def start(self, node: ast.expr | ast.stmt | ast.keyword | ast.excepthandler) -> int:
        """A node's first byte."""
        return self._begins[node.lineno - 1] + node.col_offset

    def end(self, node: ast.expr | ast.stmt | ast.keyword) -> int:
        """The byte after a node."""
        assert node.end_lineno is not None and node.end_col_offset is not None
        return self._begins[node.end_lineno - 1] + node.end_col_offset

    def segment(self, node: ast.expr) -> str:
        """A node's text."""
        return self.text[self.start(node) : self.end(node)].decode()

    def line(self, byte: int) -> int:
        """The line number of a byte."""
        return self.text.count(b"\n", 0, byte) + 1

    def ancestors(self, node: ast.AST) -> Iterator[tuple[ast.AST, str]]:
        """A node's parent and the field of it that the node is in, and so on up to the module."""
        while node in self.parents:
            node, field = self.parents[node]
            yield node, field

    def statement(self, node: ast.AST) -> ast.stmt:
        """The innermost statement that a node belongs to."""
        return next(each for each in (node, *(a for a, _ in self.ancestors(node))) if isinstance(each, ast.stmt))

    def statement_lines(self, node: ast.AST) -> tuple[int, ...]:
        """Line numbers of a node's statement; where that has a body, of its head."""
        own = self.statement(node)
        body = getattr(own, "body", None)
        last = max(own.lineno, body[0].lineno - 1) if body else own.end_lineno or own.lineno
        return tuple(range(own.lineno, last + 1))

    def token(self, left: ast.expr, right: ast.expr, token: str) -> Edit | None:
        """Where an operator stands between its operands, among brackets and comments; without a replacement."""
        begin = self.end(left)
        gap = re.sub(rb"#[^\n]*", lambda comment: b" " * len(comment[0]), self.text[begin : self.start(right)])
        at = gap.find(token.encode())
        return None if at < 0 else (begin + at, begin + at + len(token), "")


def _executable(code: CodeType) -> set[int]:
    """The line numbers of a code object's instructions, and of those in it."""
    inner = [_executable(each) for each in code.co_consts if isinstance(each, CodeType)]
    return {line for _, _, line in code.co_lines() if line}.union(*inner)


_COMPARISONS = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}
_ARITHMETIC = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
_OTHER = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "+": "-", "-": "+", "*": "/", "/": "*"}
_LOW_HIGH = [
    ("min", "max"), ("amin", "amax"), ("minimum", "maximum"), ("argmin", "argmax"), ("idxmin", "idxmax"),
    ("nanmin", "nanmax"), ("floor", "ceil"), ("cummin", "cummax"),
]  # fmt: skip
_LOW_HIGH_NAMES = dict(_LOW_HIGH) | {high: low for low, high in _LOW_HIGH}
_QUANTILES = {0.025: 0.975, 0.05: 0.95, 0.25: 0.75, 2.5: 97.5}
_QUANTILES |= {high: low for low, high in _QUANTILES.items()}


def comparison(node: ast.AST, source: Source) -> Iterator[Edit]:
    """`<` and `<=`, `>` and `>=`, `==` and `!=`."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _COMPARISONS:
        token = _COMPARISONS[type(node.ops[0])]
        if found := source.token(node.left, node.comparators[0], token):
            yield (*found[:2], _OTHER[token])


def arithmetic(node: ast.AST, source: Source) -> Iterator[Edit]:
    """`+` and `-`, `*` and `/`; not of texts, lists and paths, where the other operator is no valid program."""
    if isinstance(node, ast.BinOp):
        left, right = node.left, node.right
    elif isinstance(node, ast.AugAssign):
        left, right = node.target, node.value
    else:
        return
    if type(node.op) not in _ARITHMETIC or any(map(_is_no_number, (left, right))):
        return
    token = _ARITHMETIC[type(node.op)]
    if found := source.token(left, right, token):
        yield (*found[:2], _OTHER[token])


def boolean(node: ast.AST, source: Source) -> Iterator[Edit]:
    """`and` and `or`; a `not` that is dropped."""
    if isinstance(node, ast.BoolOp):
        token, other = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in pairwise(node.values):
            if found := source.token(left, right, token):
                yield (*found[:2], other)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        begin = source.start(node)
        if dropped := re.match(rb"not\s*", source.text[begin:]):
            yield begin, begin + len(dropped[0]), ""


def constant(node: ast.AST, source: Source) -> Iterator[Edit]:
    """An integer one larger (1 becomes 0), a float a tenth larger (0.0 becomes 1.0)."""
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        yield source.start(node), source.end(node), _other_number(node.value)


def flag(node: ast.AST, source: Source) -> Iterator[Edit]:
    """True and False."""
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield source.start(node), source.end(node), str(not node.value)


def text(node: ast.AST, source: Source) -> Iterator[Edit]:
    """A text that is compared, or a dictionary's key, with a character more."""
    if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
        return
    parent, field = source.parents[node]
    compared = isinstance(parent, ast.Compare) and isinstance(parent.ops[0], ast.Eq | ast.NotEq | ast.In | ast.NotIn)
    key = isinstance(parent, ast.Dict) and field == "keys"
    looked_up = isinstance(parent, ast.Subscript) and field == "slice" and isinstance(parent.ctx, ast.Load)
    if compared or key or looked_up:
        yield source.start(node), source.end(node), repr(node.value + "_")


def call(node: ast.AST, source: Source) -> Iterator[Edit]:
    """A statement that is a call, dropped."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield source.start(node), source.end(node), "pass"


def keyword(node: ast.AST, source: Source) -> Iterator[Edit]:
    """A keyword argument, dropped."""
    if not isinstance(node, ast.Call):
        return
    every = sorted([*node.args, *node.keywords], key=source.start)
    ends = [*(source.start(each) for each in every[1:]), source.end(node) - 1]
    for each, end in zip(every, ends, strict=False):
        if isinstance(each, ast.keyword) and each.arg and not is_unseen(each.arg):
            yield source.start(each), end, ""


def arguments(node: ast.AST, source: Source) -> Iterator[Edit]:
    """Two positional arguments of one kind that stand side by side, swapped."""
    if not isinstance(node, ast.Call) or called(node) in ORDERLESS_CALLS:
        return
    for left, right in pairwise(node.args):
        alike = type(left) is type(right) and isinstance(left, ast.Name | ast.Attribute | ast.Constant)
        if isinstance(left, ast.Constant) and isinstance(right, ast.Constant):
            alike = alike and type(left.value) is type(right.value)
        if alike and source.segment(left) != source.segment(right):
            between = source.text[source.end(left) : source.start(right)].decode()
            yield source.start(left), source.end(right), source.segment(right) + between + source.segment(left)


def quantile(node: ast.AST, source: Source) -> Iterator[Edit]:
    """Low and high: of quantiles, of a rising list of numbers its first and last, of functions (min and max)."""
    if isinstance(node, ast.Call) and (other := _LOW_HIGH_NAMES.get(called(node))):
        yield source.end(node.func) - len(called(node)), source.end(node.func), other
    elif isinstance(node, ast.Constant) and isinstance(node.value, float) and node.value in _QUANTILES:
        yield source.start(node), source.end(node), repr(_QUANTILES[node.value])
    elif isinstance(node, ast.Tuple | ast.List) and len(node.elts) > 1 and isinstance(node.ctx, ast.Load):
        if isinstance(source.parents[node][0], ast.Subscript | ast.Compare):
            return  # a position in an array, or a set of values
        numbers = [each.value for each in node.elts if isinstance(each, ast.Constant) and is_number(each)]
        if len(numbers) == len(node.elts) and numbers[0] < numbers[-1] and numbers == sorted(numbers):
            first, last = node.elts[0], node.elts[-1]
            between = source.text[source.end(first) : source.start(last)].decode()
            yield source.start(first), source.end(last), source.segment(last) + between + source.segment(first)


def returned(node: ast.AST, source: Source) -> Iterator[Edit]:
    """None instead of a value, where the function's annotation names one."""
    if not isinstance(node, ast.Return) or node.value is None:
        return
    if isinstance(node.value, ast.Constant) and not node.value.value:
        return  # None and False look alike to most who ask
    functions = (each for each, _ in source.ancestors(node) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))
    annotation = next(functions).returns
    if annotation is not None and ast.unparse(annotation) not in ("None", "NoReturn"):
        yield source.start(node), source.end(node), "return None"


def condition(node: ast.AST, source: Source) -> Iterator[Edit]:
    """The condition of an `if`, negated."""
    tests = [node.test] if isinstance(node, ast.If | ast.IfExp) else getattr(node, "ifs", [])
    for test in tests:
        yield source.start(test), source.end(test), f"not ({source.segment(test)})"


def loop_exit(node: ast.AST, source: Source) -> Iterator[Edit]:
    """`break` and `continue`."""
    if isinstance(node, ast.Break | ast.Continue):
        yield source.start(node), source.end(node), "continue" if isinstance(node, ast.Break) else "break"


def handler(node: ast.AST, source: Source) -> Iterator[Edit]:
    """An `except` that catches nothing."""
    if isinstance(node, ast.ExceptHandler) and node.type is not None:
        yield source.start(node.type), source.end(node.type), "()"


KINDS: Mapping[str, Callable[[ast.AST, Source], Iterator[Edit]]] = {
    "comparison": comparison,
    "arithmetic": arithmetic,
    "boolean": boolean,
    "constant": constant,
    "flag": flag,
    "text": text,
    "dropped call": call,
    "dropped keyword": keyword,
    "swapped arguments": arguments,
    "low and high": quantile,
    "returned None": returned,
    "negated condition": condition,
    "loop exit": loop_exit,
    "dropped handler": handler,
}
"""Each gives the edits of its kind at one node."""


def is_unseen(argument: str) -> bool:
    """Whether a keyword argument of this name is text for people, or how long something waits."""
    return argument in UNSEEN_KEYWORDS or WAITING.search(argument) is not None


def called(node: ast.Call) -> str:
    """The name of what is called, without what stands before its last dot."""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def is_number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) in (int, float)


def _is_no_number(node: ast.expr) -> bool:
    """Whether an operand is known to be a text or a collection."""
    if isinstance(node, ast.Constant):
        return not is_number(node)
    return isinstance(node, ast.JoinedStr | ast.List | ast.Tuple | ast.Dict | ast.Set | ast.ListComp)


def _other_number(value: int | float) -> str:
    """A number that is near, but not equal."""
    if isinstance(value, int):
        return "0" if value == 1 else str(value + 1)
    return repr(float(f"{value * GROWTH:.6g}")) if value else "1.0"
