"""The command as it is started: what it imports, and where it looks for modules."""

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
