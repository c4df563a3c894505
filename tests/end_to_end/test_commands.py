"""The command as it is started: what it imports, where it looks for modules, and MLflow's pages."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from bench.records.server import check_server

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


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_the_pages_of_mlflow_answer_on_loopback(finished):
    place, _ = finished
    port = free_port()
    process = place.start("ui", "--port", port, MLFLOW_WORKERS="1")
    try:
        deadline = time.monotonic() + 600
        while True:
            assert process.poll() is None, (place.folder / "output.txt").read_text()
            assert time.monotonic() < deadline, "no answer in ten minutes"
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
                    assert (answer.status, answer.read()) == (200, b"OK")
                break
            except (urllib.error.URLError, TimeoutError, ConnectionError):
                time.sleep(0.2)
        check_server(f"http://127.0.0.1:{port}")  # what every study asks first, of a real server
        process.terminate()
        process.wait(120)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert f"http://127.0.0.1:{port} over sqlite:///mlflow.db" in (place.folder / "output.txt").read_text()


def test_the_command_is_a_module_too(tmp_path):
    """For launchers that want one: torchrun -m bench train ..."""
    done = subprocess.run(
        [sys.executable, "-m", "bench", "info", "small", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["network"] == "small"
