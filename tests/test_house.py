"""The shape of `bench`: rooms, what they know of the kinds of study, where imports stand."""

import ast
from functools import cache
from pathlib import Path

import pytest

import bench
from bench.kinds import KINDS
from bench.settings.presets import kinds

BENCH = Path(bench.__file__).parent
MOST_ENTRIES = 18
MOST_FUNCTION_IMPORTS = 23
VERBS_OF_ONE_KIND = ("cli/actions/compare.py",)
"""They compare finished studies of one kind, and run none."""


@cache
def modules():
    return {path.relative_to(BENCH).as_posix(): ast.parse(path.read_text()) for path in sorted(BENCH.rglob("*.py"))}


def _name(function):
    return function.id if isinstance(function, ast.Name) else ""


def knows_a_kind(tree):
    """What a module does with the name or the class of one kind of study."""
    packages = tuple(entry.package for entry in KINDS.values())
    found = []
    from_kinds = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith(tuple(f"{each}." for each in packages)):
            found.append(f"imports {node.module}")
            from_kinds |= {each.asname or each.name for each in node.names}
        elif isinstance(node, ast.Compare):
            values = [each.value for each in [node.left, *node.comparators] if isinstance(each, ast.Constant)]
            values += [
                each.value
                for group in node.comparators
                if isinstance(group, (ast.Tuple, ast.List, ast.Set))
                for each in group.elts
                if isinstance(each, ast.Constant)
            ]
            about = ast.unparse(node)
            found += [f"compares: {about}" for each in values if each in KINDS and "kind" in about]
        elif isinstance(node, ast.MatchValue) and isinstance(node.value, ast.Constant) and node.value.value in KINDS:
            found.append(f"matches {node.value.value}")
        elif isinstance(node, ast.Call) and _name(node.func) in ("isinstance", "issubclass"):
            found += [f"asks: {ast.unparse(node)}" for name in from_kinds if name in ast.unparse(node.args[1])]
    return found


@pytest.mark.parametrize(
    ("code", "count"),
    [
        ("if spec.kind == 'loaders': pass", 1),
        ("if kind in ('joint', 'optimizers'): pass", 2),
        ("match kind:\n    case 'joint': pass", 1),
        ("from bench.kinds.loaders.spec import LoaderSpec\nisinstance(spec, LoaderSpec)", 2),
        ("if name == 'optimizers': pass", 0),
        ("kind.run(spec)", 0),
    ],
)
def test_what_the_check_sees(code, count):
    assert len(knows_a_kind(ast.parse(code))) == count


def test_nothing_outside_kinds_knows_a_kind():
    known = {
        name: found
        for name, tree in modules().items()
        if not name.startswith("kinds/") and name not in VERBS_OF_ONE_KIND and (found := knows_a_kind(tree))
    }
    assert known == {}


def test_each_kind_ships_a_study_file_and_looks_as_its_peers():
    assert {*KINDS} == {*kinds()}
    for name in KINDS:
        entries = {path.stem for path in (BENCH / "kinds" / name).iterdir()}
        assert {"spec", "kind", "plan", "analysis"} <= entries, name


def test_few_imports_stand_inside_functions_and_each_says_why():
    inside = []
    for name, tree in modules().items():
        lines = (BENCH / name).read_text().splitlines()
        for function in ast.walk(tree):
            if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
                inside += [
                    (name, lines[node.lineno - 1])
                    for node in ast.walk(function)
                    if isinstance(node, (ast.Import, ast.ImportFrom))
                ]
    assert [each for each in inside if "#" not in each[1]] == [], "without a reason"
    assert len(inside) <= MOST_FUNCTION_IMPORTS


def test_a_room_says_in_its_first_lines_what_it_is_for():
    entries = [path for path in BENCH.iterdir() if path.name != "__pycache__"]
    assert len(entries) <= MOST_ENTRIES
    for room in (path for path in entries if path.is_dir()):
        text = ast.get_docstring(ast.parse((room / "__init__.py").read_text())) or ""
        assert len(text) > 40, room.name
