"""The proofs' mechanism in a small repository: what is collected, what is left of a proof, and when it is stale."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from tests.proofs import register
from tests.proofs.stale import states

FOLDER = Path(register.__file__).parent
CONFTEST = """
def pytest_addoption(pluginmanager):
    pluginmanager.import_plugin("tests.proofs.collection")
"""
PLAIN = "def test_plain(): pass"
RATES = """
import pathlib
import pytest

SHARD = "kills"
COVERS = ("source/**/*.txt",)

@pytest.mark.parametrize("most", [7, 9])
def test_rate(most, figures):
    figures["rate"] = float(pathlib.Path("source/rates/rate.txt").read_text())
    assert 0 < figures["rate"] < most
"""
OTHER = """
SHARD = "real"
COVERS = ("source/other.txt",)

def test_other():
    pass
"""
RATE_7, RATE_9, OTHER_ONE = NAMES = [
    "tests/proofs/test_rates.py::test_rate[7]",
    "tests/proofs/test_rates.py::test_rate[9]",
    "tests/proofs/test_other.py::test_other",
]


@pytest.fixture
def repository(tmp_path):
    files = {
        "pyproject.toml": '[tool.pytest.ini_options]\ntestpaths = ["tests"]\naddopts = "--import-mode=importlib"\n',
        "tests/conftest.py": CONFTEST,
        "tests/bench/test_plain.py": PLAIN,
        "tests/proofs/test_rates.py": RATES,
        "tests/proofs/test_other.py": OTHER,
        "source/rates/rate.txt": "5",
        "source/other.txt": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    for module in FOLDER.glob("*.py"):
        if not module.name.startswith("test_"):
            shutil.copy(module, tmp_path / "tests" / "proofs")
    return tmp_path


def run(repository, *arguments, module="pytest"):
    environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(
        command, cwd=repository, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def states_of(repository):
    modules = {name: repository / name.split("::")[0] for name in NAMES}
    return [*states(repository, modules, register.read_entries(repository)).values()]


def test_only_the_flag_runs_proofs_and_what_passes_leaves_its_figures(repository):
    plain = run(repository, "-p", "no:cacheprovider")
    assert "1 passed" in plain.stdout, plain.stdout + plain.stderr
    assert register.read_entries(repository) == {}
    assert states_of(repository) == ["never run"] * 3

    proofs = run(repository, "--proofs", "-p", "xdist", "--numprocesses", "1", "--dist", "load")
    assert "3 passed" in proofs.stdout, proofs.stdout + proofs.stderr
    entries = register.read_entries(repository)
    assert {*entries} == {*NAMES}
    assert entries[RATE_7] == {
        "date": date.today().isoformat(),
        "seconds": pytest.approx(0, abs=60),
        "figures": {"rate": 5.0},
        "sources": register.sources_hash(repository, repository / "tests/proofs/test_rates.py"),
        "covers": ["source/**/*.txt"],
    }
    assert entries[OTHER_ONE]["figures"] == {}
    assert states_of(repository) == ["fresh"] * 3

    (repository / "source/rates/rate.txt").write_text("8")
    assert states_of(repository) == ["stale", "stale", "fresh"]
    shard = run(repository, "--proofs", "--shard", "kills")
    assert "1 failed, 1 passed" in shard.stdout, shard.stdout + shard.stderr
    assert states_of(repository) == ["never run", "fresh", "fresh"], "a failed proof leaves nothing"


def test_the_command_says_which_proofs_are_stale_and_never_fails(repository):
    register.keep(repository, RATE_9, {"date": "2024-05-06", "sources": "of other sources"})
    (repository / "tests/proofs/test_broken.py").write_text(OTHER + "import no_such_module")
    (repository / "source/other.txt").unlink()
    found = run(repository, module="tests.proofs.stale")
    assert found.stdout.splitlines() == [
        f"broken     {OTHER_ONE}",
        f"never run  {RATE_7}",
        f"stale      {RATE_9}, 2024-05-06",
        "broken     tests/proofs/test_broken.py",
        "0 of 4 proofs are fresh",
    ]
    assert found.returncode == 0
    refused = run(repository, "--shard", "kills")
    assert "--shard needs --proofs" in refused.stderr


def test_the_hash_knows_contents_names_and_the_proof_itself(repository):
    module = repository / "tests/proofs/test_rates.py"
    hashes = [register.sources_hash(repository, module)]

    def changed():
        hashes.append(register.sources_hash(repository, module))
        return len({*hashes}) == len(hashes)

    (repository / "source/other.txt").write_text("changed")
    assert changed()
    (repository / "source/other.txt").rename(repository / "source/renamed.txt")
    assert changed()
    module.write_text(RATES.replace("< most", "<= most"))
    assert changed()
    (repository / "source/other.md").write_text("not covered")
    assert not changed()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("source/**/*.txt", "sources/*.txt", r"test_rates.py: COVERS: sources/\*.txt matches no file"),
        ("COVERS", "COVER", "needs the constant COVERS"),
        ('"kills"', '"kill"', "SHARD must be one of simulations, worlds, kills, real, not kill"),
    ],
)
def test_a_proof_without_sources_or_shard_is_at_fault(repository, old, new, message):
    module = repository / "tests/proofs/test_rates.py"
    module.write_text(RATES.replace(old, new))
    with pytest.raises(ValueError, match=message):
        register.sources_hash(repository, module)


def test_entries_of_other_proofs_stay(tmp_path):
    for name in ("one", "other", "one"):
        register.keep(tmp_path, name, {"figures": {name: 1.5}})
    assert json.loads((tmp_path / register.REGISTER).read_text()).keys() == {"one", "other"}
    register.drop(tmp_path, "one")
    register.drop(tmp_path, "nobody")
    assert register.read_entries(tmp_path) == {"other": {"figures": {"other": 1.5}}}


def test_each_file_with_long_tests_is_run_by_a_proof():
    """And by no other than that which a proof names."""
    tests, marks = FOLDER.parent, re.compile(r"mark\.long\b|\blong\(|\bmap\(long,")
    marked = {
        path.relative_to(tests.parent).as_posix()
        for folder in ("bench", "end_to_end", "posemodel")
        for path in (tests / folder).glob("test_*.py")
        if marks.search(path.read_text(encoding="utf-8"))
    }
    named = [
        file
        for path in FOLDER.glob("test_long_*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "FILES"
        for file in ast.literal_eval(node.value)
    ]
    assert sorted(named) == sorted(marked)


def test_tests_marked_long_run_with_their_option_alone(repository):
    (repository / "tests/bench/test_plain.py").write_text(
        "import pytest\n"
        "@pytest.mark.parametrize('case', [1, *(pytest.param(case, marks=pytest.mark.long) for case in (2, 3))])\n"
        "def test_plain(case): pass\n"
    )
    plain, long = run(repository, "-p", "no:cacheprovider"), run(repository, "-p", "no:cacheprovider", "--long")
    assert "1 passed, 2 deselected" in plain.stdout, plain.stdout + plain.stderr
    assert "2 passed, 1 deselected" in long.stdout, long.stdout + long.stderr
