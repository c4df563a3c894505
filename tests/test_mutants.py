"""`python -m tests.mutants`: which faults it plants, where it never does, and what it says of a toy's tests."""

import ast
import json
import textwrap
from collections import Counter
from pathlib import Path

import psutil
import pytest

from tests.mutants import __main__ as command
from tests.mutants.covering import Covering, Test, measure
from tests.mutants.kinds import KINDS
from tests.mutants.planting import MOST_IN_A_FILE, Mutant, choose, mutants
from tests.mutants.running import Outcome, Verdict, fitting, judge
from tests.mutants.working_copy import PYTEST, Ended, WorkingCopy

KIND_CASES = [
    ("comparison", "if a < b: x()", ["if a <= b: x()"]),
    ("comparison", "y = (a) >= (b)  # >= c", ["y = (a) > (b)  # >= c"]),
    ("comparison", "y = a == b", ["y = a != b"]),
    ("comparison", "y = a < b < c", []),
    ("comparison", "y = a is b", []),
    ("arithmetic", "y = a + b", ["y = a - b"]),
    ("arithmetic", "y = (a * b) / c", ["y = (a / b) / c", "y = (a * b) * c"]),
    ("arithmetic", "y -= a", ["y += a"]),
    ("arithmetic", "y = 'a' + b", []),
    ("arithmetic", "y = folder / 'a'", []),
    ("boolean", "y = a and b and c", ["y = a or b and c", "y = a and b or c"]),
    ("boolean", "y = a or b", ["y = a and b"]),
    ("boolean", "y = not (a or b)", ["y = (a or b)", "y = not (a and b)"]),
    ("constant", "y = 2", ["y = 3"]),
    ("constant", "y = a[0]", ["y = a[1]"]),
    ("constant", "y = 1", ["y = 0"]),
    ("constant", "y = -10.0", ["y = -11.0"]),
    ("constant", "y = 0.0 + 1e-3", ["y = 1.0 + 1e-3", "y = 0.0 + 0.0011"]),
    ("constant", "y = True", []),
    ("flag", "y = f(a, b=True)", ["y = f(a, b=False)"]),
    ("text", "y = a == 'b'", ["y = a == 'b_'"]),
    ("text", "y = {'a': 'b'}", ["y = {'a_': 'b'}"]),
    ("text", "y = a['b']", ["y = a['b_']"]),
    ("text", "a['b'] = 'c'", []),
    ("dropped call", "a.append(b)", ["pass"]),
    ("dropped call", "y = a.pop()", []),
    ("dropped call", "log(a)", []),
    ("dropped keyword", "f(a, b=1)", ["f(a, )"]),
    ("dropped keyword", "f(b=(1), c=2)", ["f(c=2)", "f(b=(1), )"]),
    ("dropped keyword", "f(a, help=b, encoding=c, timeout=d, wait_s=e, **g)", []),
    ("swapped arguments", "f(a, b.c, d.e, 2, 3)", ["f(a, d.e, b.c, 2, 3)", "f(a, b.c, d.e, 3, 2)"]),
    ("swapped arguments", "y = max(a, b)", []),
    ("low and high", "y = max(a, b)", ["y = min(a, b)"]),
    ("low and high", "y = a.idxmin()", ["y = a.idxmax()"]),
    ("low and high", "y = quantile(a, 0.025)", ["y = quantile(a, 0.975)"]),
    ("low and high", "y = percentile(a, [10, 50, 90])", ["y = percentile(a, [90, 50, 10])"]),
    ("low and high", "y = a[0, 1]", []),
    ("returned None", "return a", ["return None"]),
    ("returned None", "return False", []),
    ("negated condition", "if a and b: x()", ["if not (a and b): x()"]),
    ("negated condition", "y = a if b else c", ["y = a if not (b) else c"]),
    ("negated condition", "y = [a for a in b if c]", ["y = [a for a in b if not (c)]"]),
]


def planted(text: str, kind: str = "", path: str = "bench/toy.py") -> list[str]:
    """The text with each mutant of a kind (of any, without one)."""
    content = text.encode()
    found = [each for each in mutants(path, content) if kind in ("", each.kind)]
    return [each.planted(content).decode() for each in found]


def in_function(body: str) -> str:
    return f"def f() -> int:\n    {body}\n"


@pytest.mark.parametrize(("kind", "body", "expected"), KIND_CASES)
def test_a_kind_s_edits(kind, body, expected):
    found = planted(in_function(body), kind)
    assert found == [in_function(each) for each in expected]
    for each in found:
        ast.parse(each)


def test_kinds_of_more_than_a_line():
    loop = "def f():\n    for a in b:\n        if a: {}\n        {}\n"
    found = planted(loop.format("break", "continue"), "loop exit")
    assert found == [loop.format("continue", "continue"), loop.format("break", "break")]
    caught = "def f():\n    try:\n        a\n    except {} as b:\n        c\n    except {}:\n        d\n"
    assert planted(caught.format("E", "(F, G)"), "dropped handler") == [
        caught.format("()", "(F, G)"),
        caught.format("E", "()"),
    ]
    call = "def f():\n    g(\n        a=1,  # why\n        b=2,\n    )\n"
    assert planted(call, "dropped keyword")[0] == "def f():\n    g(\n        b=2,\n    )\n"
    assert planted("def f() -> None:\n    return g()\n", "returned None") == []
    assert planted("def f():\n    return g()\n", "returned None") == []
    assert planted("def f():\n    y = 'é' if a else 2\n", "constant") == ["def f():\n    y = 'é' if a else 3\n"]
    assert {kind for kind, _, _ in KIND_CASES} | {"loop exit", "dropped handler"} == set(KINDS)


@pytest.mark.parametrize(
    "text",
    [
        '"""Of 2 < 3."""\n',
        'def f():\n    """Of 2 < 3."""\n',
        "if TYPE_CHECKING:\n    def f(): return 2\n",
        "def f(a: 'x' = 2, *, b=True) -> g[1]: ...\n",
        "def f():\n    a: g[1]\n",
        "@g(2, a=True)\ndef f(): ...\n",
        "class A:\n    b = 2\n    c: int = field(default=3)\n",
        "if __name__ == '__main__':\n    f(2)\n",
        "def f():\n    if a.type == 'cuda':\n        b(2)\n",
        "def f():\n    a.cuda.reset(2)\n",
        "def f_on_mps():\n    a(2)\n",
        "def f():\n    y = f'{a + 2} < {b:2}'\n",
        "def f():\n    log(a + 2)\n",
        "def f():\n    logger.info('a', 2)\n",
        "def f():\n    time.sleep(2)\n",
        "def f():\n    y = g(timeout=2)\n",
        "def f():\n    y = Option(help=g(2))\n",
        "POLL_S = 2\nBUSY_TIMEOUT = 3.0\n\ndef f(): return POLL_S\n",
        "A = 2 * 3\nB = 'c'\nD = g(2)\nE, F = 1, 2\n",
        "a = lambda: 2\n",
    ],
)
def test_nothing_is_planted_where_tests_cannot_see_it(text):
    assert planted(text) == [], text


def test_neither_in_files_that_are_left_out():
    text = in_function("y = 2")
    assert planted(text, path="bench/speed/toy.py") == planted(text, path="bench/cli/__main__.py") == []
    assert len(planted(text, path="bench/speedy.py")) == 1
    assert len(planted(in_function("y = dumps(2)"))) == 1, "not 'mps'"


def test_a_constant_is_covered_by_those_that_use_it():
    text = "A = 2\nB: Final = (0.1, 0.9)\nC = 3\n\ndef f(a=A):\n    b = g(\n        A\n    )\n    return B\n"
    found = {(each.line, each.kind): each.lines for each in mutants("bench/a.py", text.encode())}
    assert found[1, "constant"] == (7,)
    assert found[2, "constant"] == found[2, "low and high"] == (9,)
    assert found[3, "constant"] == ()
    assert "B: Final = (0.9, 0.1)" in "".join(planted(text, "low and high"))


def test_a_mutant_s_lines():
    text = "def f():\n    if (\n        a\n        <\n        b\n    ):\n        c(\n            d\n        )\n"
    found = {each.kind: each for each in mutants("bench/a.py", text.encode())}
    assert found["comparison"].lines == (2, 3, 4, 5, 6)
    assert found["dropped call"].lines == (7, 8, 9)
    assert found["dropped call"].shown(text.encode()) == ("c( d )", "pass")
    (handler,) = mutants("bench/a.py", b"def f():\n    try:\n        a\n    except E:\n        b\n")
    assert handler.lines == (4,), "tests in which nothing is raised do not cover it"


def candidates() -> list[Mutant]:
    """Of 40 files, with three in four in `bench`, and one kind that is rare."""
    found = []
    for index in range(40):
        package = "posemodel" if index % 4 == 0 else "bench"
        for line in range(1, 60):
            kind = "flag" if (index, line) == (1, 1) else [*KINDS][line % 5]
            found.append(Mutant(f"{package}/m{index}.py", line, line, line + 1, "", kind, (line,)))
    return [each for each in found if each.kind != "flag" or (each.path, each.line) == ("bench/m1.py", 1)]


def test_the_choice():
    sizes = {"bench": 300, "posemodel": 100}
    chosen = choose(candidates(), count=60, seed=0, statements=sizes)
    assert chosen == choose(candidates(), count=60, seed=0, statements=sizes)
    assert chosen != choose(candidates(), count=60, seed=1, statements=sizes)
    assert len(set(chosen)) == 60
    assert Counter(each.path.partition("/")[0] for each in chosen) == {"bench": 45, "posemodel": 15}
    assert max(Counter(each.path for each in chosen).values()) <= MOST_IN_A_FILE
    kinds = Counter(each.kind for each in chosen)
    assert kinds.pop("flag") == 1
    assert max(kinds.values()) - min(kinds.values()) <= 2
    assert len(choose(candidates(), count=1000, seed=0, statements=sizes)) == 40 * MOST_IN_A_FILE


SCALE = """
    TWICE = 2


    def double(value: int) -> int:
        return value * TWICE


    def unseen(value: int) -> int:
        return value + 1
    """
TOY_TESTS = """
    import subprocess
    import sys

    import pytest

    from bench.scale import double, unseen


    @pytest.fixture(scope="module")
    def doubled():
        return double(3)


    def test_six(doubled):
        assert doubled == 6


    def test_another_use_of_the_fixture(doubled):
        pass


    def test_no_assertion():
        unseen(1)


    def test_in_a_process():
        subprocess.run([sys.executable, "-c", "from bench.scale import unseen; unseen(1)"], check=True)


    def test_that_fails():
        double(1)
        assert False
    """
PREFIX = "tests/test_scale.py::test_"


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> tuple[WorkingCopy, Covering]:
    """A working copy of a tiny repository, and its measurement."""
    folder = tmp_path_factory.mktemp("toy")
    repository = folder / "repository"
    for path, text in {
        "pyproject.toml": "[tool.pytest.ini_options]\naddopts = '-ra --import-mode=importlib'\n",
        "bench/__init__.py": "",
        "bench/scale.py": SCALE,
        "bench/data/kept.py": "",
        "posemodel/__init__.py": "",
        "data/large.bin": "",
        "tests/test_scale.py": TOY_TESTS,
    }.items():
        (repository / path).parent.mkdir(parents=True, exist_ok=True)
        (repository / path).write_text(textwrap.dedent(text).lstrip())
    # The recorder is imported from the copy, as the tree's own is.
    (repository / "tests" / "mutants").symlink_to(Path(command.__file__).parent)
    copy = WorkingCopy(repository, folder)
    return copy, measure(copy, ["tests/test_scale.py"], processes=1)


def names(tests: list[Test]) -> set[str]:
    return {test.id.removeprefix(PREFIX) for test in tests}


def test_measuring(toy, tmp_path):
    copy, covering = toy
    assert not (copy.folder / "data").exists()
    assert (copy.folder / "bench" / "data" / "kept.py").exists()
    assert covering.failed == (f"{PREFIX}that_fails",)
    assert names(covering.of("bench/scale.py", [5])) == {"six", "another_use_of_the_fixture"}
    assert names(covering.of("bench/scale.py", [9])) == {"no_assertion", "in_a_process"}
    seconds = {test.id.removeprefix(PREFIX): test.seconds for test in covering.tests}
    assert max(seconds, key=seconds.get) == "in_a_process"
    covering.write(tmp_path / "contexts.json")
    assert Covering.read(tmp_path / "contexts.json") == covering


def test_a_mutant_that_an_assertion_sees_is_caught_and_another_survives(toy, capsys, tmp_path):
    copy, covering = toy
    content = (copy.folder / "bench" / "scale.py").read_bytes()
    sources = {"bench/scale.py": content}
    found = command.find(sources, covering, limit_s=60.0)
    by_kind = {(each.line, each.kind): each for each in found}
    seen, unseen = by_kind[1, "constant"], by_kind[9, "arithmetic"]
    judged = []
    for mutant in (seen, unseen):
        judged.append((mutant, judge(mutant, found[mutant], covering, copy, limit_s=60.0)))
        assert (copy.folder / "bench" / "scale.py").read_bytes() == content
    assert [verdict.outcome for _, verdict in judged] == [Outcome.CAUGHT, Outcome.SURVIVED]
    assert judged[0][1].by == f"{PREFIX}six"
    assert (judged[1][1].run, judged[1][1].covering) == (2, 2)
    assert command.report(judged, sources, seed=7, out=tmp_path / "out.json") == 1
    assert capsys.readouterr().out.splitlines()[-1] == "caught 1 of 2 (50%)"
    document = json.loads((tmp_path / "out.json").read_text())
    assert (document["seed"], document["caught_share"]) == (7, 0.5)
    (survivor,) = document["survivors"]
    assert (survivor["before"], survivor["after"]) == ("return value + 1", "return value - 1")
    assert command.report(judged[:1], sources, seed=7, out=tmp_path / "out.json") == 0


class ScriptedCopy:
    """Stands in for a working copy: its runs end as told, in that order."""

    def __init__(self, folder: Path, ends: list[tuple[int | None, str]]) -> None:
        self.folder, self.ends, self.asked = folder, ends, []

    def run(self, arguments, *, timeout_s):
        mutated = (self.folder / "a.py").read_text() != "2\n"
        self.asked.append((mutated, [each for each in arguments if each not in (*PYTEST, "-x")], timeout_s))
        code, output = self.ends.pop(0)
        return Ended(code, output, seconds=10.0)


FAILS_A = (1, "FAILED t.py::a[x - y] - assert 1\n1 failed\n")


@pytest.mark.parametrize(
    ("ends", "outcome", "runs"),
    [
        ([FAILS_A, (0, "")], Outcome.CAUGHT, ["+ab", "-a"]),
        ([(0, ""), (0, "")], Outcome.SURVIVED, ["+ab", "+c"]),
        ([(0, ""), (1, "ERROR t.py - E\n"), (0, "")], Outcome.CAUGHT, ["+ab", "+c", "-c"]),
        ([(None, ""), (0, "")], Outcome.HUNG, ["+ab", "-ab"]),
        ([(None, ""), (None, ""), (0, "")], Outcome.SURVIVED, ["+ab", "-ab", "+c"]),
        ([(None, ""), (None, ""), (None, ""), (None, "")], Outcome.UNCLEAR, ["+ab", "-ab", "+c", "-c"]),
        ([FAILS_A, FAILS_A, (0, "")], Outcome.SURVIVED, ["+ab", "-a", "+bc"]),
        ([(4, ""), (0, "")], Outcome.BROKEN, ["+ab", "-ab"]),
        ([(4, ""), (4, ""), (4, ""), (4, "")], Outcome.UNCLEAR, ["+ab", "-ab", "+c", "-c"]),
        ([(-11, ""), (0, "")], Outcome.BROKEN, ["+ab", "-ab"]),
    ],
)
def test_what_an_end_says(tmp_path, monkeypatch, ends, outcome, runs):
    """`+` is a run with the mutant, `-` one without; letters are the tests that it was asked for."""
    monkeypatch.setattr("tests.mutants.running.FIRST_TESTS", 2)
    (tmp_path / "a.py").write_text("2\n")
    tests = [Test("t.py::a[x - y]", 1.0, ()), Test("t.py::b", 1.0, ()), Test("t.py::c", 1.0, ())]
    covering = Covering(tuple(tests), {}, {}, {}, ())
    copy = ScriptedCopy(tmp_path, list(ends))
    mutant = Mutant("a.py", 1, 0, 1, "3", "constant", (1,))
    verdict = judge(mutant, tests, covering, copy, limit_s=100.0)
    assert verdict.outcome == outcome
    assert ["-+"[mutated] + "".join(each[6] for each in asked) for mutated, asked, _ in copy.asked] == runs
    assert copy.asked[0][2] == 100.0
    assert copy.ends == []
    assert (tmp_path / "a.py").read_text() == "2\n"


def test_tests_that_fit_into_a_time():
    tests = [Test("a", 1.0, ("f",)), Test("b", 1.0, ("f",)), Test("c", 9.0, ()), Test("d", 1.0, ())]
    covering = Covering(tuple(tests), {"f": 5.0}, {}, {}, ())
    assert fitting(tests, covering, 7.5) == tests[:2]
    assert fitting(tests, covering, 5.5) == []
    assert fitting(tests, covering, 100.0) == tests


def test_a_run_is_stopped_at_its_time_with_all_that_it_started(toy):
    copy, _ = toy
    code = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {!r}], start_new_session=True)"
    left_behind = "import time; time.sleep(60)"
    ended = copy.run(["-c", code.format(left_behind) + "; time.sleep(60)"], timeout_s=1.0)
    assert ended.code is None
    assert not [each for each in psutil.process_iter() if copy._owns(each)]
    copy.check()


def test_changed_files_are_left_out(tmp_path, monkeypatch, capsys):
    for package in ("bench", "posemodel"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "a.py").write_text("")
    monkeypatch.setattr(command, "REPOSITORY", tmp_path)
    covering = Covering((), {}, {}, {"bench/a.py": command.digest(b""), "posemodel/a.py": command.digest(b"2")}, ())
    assert command.read_sources(covering) == {"bench/a.py": b""}
    assert "posemodel/a.py" in capsys.readouterr().out


def test_the_line_of_a_verdict(tmp_path):
    mutant = Mutant("a.py", 1, 0, 1, "3", "constant", (1,))
    line = command._line(mutant, Verdict(Outcome.SURVIVED, 2.0, run=3, covering=4), {"a.py": b"2"})
    assert " ".join(line.split()) == "survived 2.0 s a.py:1 constant 2 -> 3 3 of 4 tests run"
