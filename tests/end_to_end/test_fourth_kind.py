"""A further kind of study is three modules, a study file and one line of the registry: added to a copy, and run."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from posemodel.synthetic import generate

ROOT = Path(__file__).resolve().parents[2]
KIND = ROOT / "tests" / "support" / "fourth_kind"
PARTS = {
    "__init__.py": "bench/kinds/sizes/__init__.py",
    "spec_sizes.py": "bench/kinds/sizes/spec.py",
    "kind_sizes.py": "bench/kinds/sizes/kind.py",
    "analysis_sizes.py": "bench/kinds/sizes/analysis.py",
    "sizes.toml": "studies/sizes.toml",
}
MOST_LINES = 70
"""Of a module: a further kind is little work."""
SERVER = """
import contextlib, io, json, sys
from bench.cli.app import main
for line in sys.stdin:
    sys.argv = ["posebench", *json.loads(line)]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    print(json.dumps({"returncode": code, "stdout": out.getvalue(), "stderr": err.getvalue()}), flush=True)
"""
REGISTRY = "bench/kinds/__init__.py"
LINE = '    "sizes": Entry("bench.kinds.sizes", "Compare input sizes."),\n'


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    """A copy of the suite with the fourth kind in it, and a working folder with people."""
    copy = tmp_path_factory.mktemp("suite")
    for package in ("bench", "posemodel", "studies"):
        shutil.copytree(ROOT / package, copy / package)
    for name, place in PARTS.items():
        (copy / place).parent.mkdir(exist_ok=True)
        shutil.copy(KIND / name, copy / place)
    registry = copy / REGISTRY
    before, joint, after = registry.read_text().partition('    "joint": Entry(')
    registry.write_text(before + LINE + joint + after)
    work = copy / "work"
    generate(work / "people", images=12, seed=0, size=(96, 80), num_workers=0)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("POSEBENCH_", "MLFLOW_"))}
    environment |= {"PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1"}

    process = subprocess.Popen(
        [sys.executable, "-c", SERVER],
        cwd=work,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def run(*arguments):
        """The command in a process that has the copy's modules loaded after the first."""
        process.stdin.write(json.dumps(arguments) + "\n")
        process.stdin.flush()
        return subprocess.CompletedProcess(arguments, **json.loads(process.stdout.readline()))

    yield run, work
    process.stdin.close()
    process.wait(60)


@pytest.mark.long
def test_it_runs_from_study_file_to_report_and_is_seen_by_every_verb(suite):
    run, work = suite
    command = ("study", "sizes", "--preset", "full", "--data", "people", "--device", "cpu", "--lr", "0.002")
    done = run(*command, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["study"], document["kind"], document["status"]) == ("sizes-full-people", "sizes", "complete")
    assert document["trials"]["complete"] == 2
    assert [row["size"] for row in document["sizes"]] == [64, 96]
    assert document["spec"]["lr"] == 0.002
    folder = work / "reports" / "sizes-full-people"
    report = (work / document["report"]).read_text()
    assert f"> {document['answer']}" in report
    assert "## AP by size" in report
    assert "## Run it again" in (folder / "appendix.md").read_text()
    assert document["answer"] in (folder / "report.html").read_text()
    assert (folder / "sizes.png").is_file()

    again = run(*command)
    assert again.returncode == 0 and "confirm adam" not in again.stderr, "a finished study is shown again"
    assert "sizes-full-people" in run("study", "list").stdout
    assert json.loads(run("study", "status", "sizes-full-people", "--json").stdout)["phases"]["confirm"]["done"] == 2
    assert json.loads(run("report", "sizes-full-people", "--json").stdout)["sizes"] == document["sizes"]
    assert run("study", "new", "sizes", "mine.toml").returncode == 0
    shown = json.loads(run("config", "show", "--study", "mine.toml", "--json").stdout)
    assert shown["sizes"] == {"value": [64, 96], "origin": f"file mine.toml:{_line(work / 'mine.toml', 'sizes')}"}
    wrong = run("study", "sizes", "--preset", "full", "--data", "people", "--sise", "3")
    assert wrong.returncode == 2
    assert "--sizes" in wrong.stderr


def test_its_modules_are_short():
    lengths = {name: len((KIND / name).read_text().splitlines()) for name in PARTS}
    assert max(lengths.values()) <= MOST_LINES, lengths


def _line(path, name):
    return next(number for number, line in enumerate(path.read_text().splitlines(), 1) if line.startswith(f"{name} ="))
