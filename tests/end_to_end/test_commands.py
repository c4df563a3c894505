"""The command as it is started: what it imports, and where it looks for modules."""

import json
import os
import subprocess
import sys

import pytest

from posemodel import __version__

HEAVY = ("torch", "mlflow", "pandas", "optuna", "matplotlib", "scipy", "cv2")
IMPORTED = """
import sys
from bench.cli.app import main
sys.argv = ["posebench", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print("imported:", *[name for name in {heavy} if name in sys.modules], file=sys.stderr)
"""


@pytest.mark.parametrize("arguments", [["--help"], ["study", "optimizers", "--help"], ["--version"]], ids=" ".join)
def test_help_costs_no_heavy_import(arguments, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED.format(heavy=HEAVY), *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "posebench" in done.stdout
    assert done.stderr == "imported:\n"


def test_the_status_of_one_study_imports_neither_pytorch_nor_mlflow_nor_pandas(tmp_path):
    code = "import sys, bench.cli.actions.study_status, bench.kinds.optimizers.size; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert not {"torch", "mlflow", "pandas", "matplotlib", "cv2"} & {*done.stdout.split()}


def test_the_working_directory_is_importable(tmp_path):
    """Python's isolated mode leaves it out; `posebench`, a script elsewhere, would too."""
    (tmp_path / "own_optimizers.py").write_text("NAME = 'mine'")
    code = """
import sys
from bench.cli.app import main
sys.argv = ["posebench", "--version"]
try:
    main()
except SystemExit:
    import own_optimizers
    print(own_optimizers.NAME)
"""
    done = subprocess.run([sys.executable, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "mine"


def test_a_mistake_is_refused_by_the_installed_command(place):
    done = place.run("stduy")
    assert (done.returncode, done.stdout) == (2, "")
    assert "stduy" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_is_a_module_too(tmp_path):
    """For launchers that want one: torchrun -m bench train ..."""
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--version"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, f"posebench {__version__}\n"), done.stderr


@pytest.mark.skipif(os.name == "nt", reason="a script of POSIX")
def test_a_report_is_opened_in_the_browser_that_the_environment_names(finished_copy):
    browser = finished_copy.folder / "browser.sh"
    browser.write_text('#!/bin/sh\necho "$1" > opened.txt\n')
    browser.chmod(0o755)
    done = finished_copy.run("report", finished_copy.name, "--open", BROWSER=str(browser))
    assert done.returncode == 0, done.stderr
    page = finished_copy.folder / "reports" / finished_copy.name / "report.html"
    assert (finished_copy.folder / "opened.txt").read_text() == f"{page.resolve().as_uri()}\n"
    assert "<html" in page.read_text()


def test_without_a_browser_it_is_said_where_the_report_is(finished_copy):
    done = finished_copy.run("report", finished_copy.name, "--open", "--json", BROWSER="/no/such/browser", PATH="")
    assert done.returncode == 0, done.stderr
    page = finished_copy.folder / "reports" / finished_copy.name / "report.html"
    said = f"no browser could be started (set BROWSER to choose one); the page is {page.resolve()}\n"
    assert done.stderr == said
    assert json.loads(done.stdout)["study"] == finished_copy.name
