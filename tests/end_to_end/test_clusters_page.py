"""What docs/guide/clusters.md shows can be typed, and its Slurm script gives a trial back and asks for another job.

The scripts' `posebench` is forked. The page's servers and the whole run, with the installed program, are in
`tests/proofs/test_clusters_page.py`.
"""

import json
import re
import shlex
import signal
import subprocess
from pathlib import Path

import pytest
import yaml
from mlflow import cli as mlflow_cli
from typer.models import OptionInfo

from tests.support.clusters_page import KUBERNETES, LAUNCHER, PAGE, RAY_SLURM, SLURM, Machine, block, replaced
from tests.support.forked_program import forked_program
from tests.support.place import PLANNED, VALLEY_FILE
from tests.support.ray_nodes import MISSING
from tests.support.reference.command_line import command_tree, flags, parameters
from tests.support.running_study import DEADLINE_S, RUNNING, ended, entries, output, wait_for

WAITING = "waiting"
NAME = "optimizers-smoke-people"
RAY_BLOCKS = ("ray install", "ray token", "ray head", "ray join", "ray study", "ray cloud")
BLOCKS = ("database", "mlflow", "stores.sh", "begin", "ssh", "stop", "submit", "secret", *RAY_BLOCKS)


def flags_of(*path):
    """The options of a command."""
    command = command_tree()
    for word in path:
        command = next(each for each in command.verbs if each.path[-1] == word)
    return {
        flag
        for name, _, declared, _ in parameters(command)
        if isinstance(declared, OptionInfo)
        for flag in re.findall(r"--[a-z-]+", " ".join(flags(name, declared)))
    }


@pytest.fixture
def programs():
    with forked_program() as folder:
        yield folder


@pytest.mark.parametrize(
    "line", re.findall(r"posebench (?:worker|study)[^#'`&\n]*", re.sub(r"\s*\\\n\s*", " ", PAGE)), ids=str.strip
)
def test_each_command_of_the_page_is_one(line):
    words = shlex.split(line.replace('"', ""))[1:]
    path = words[:1] if words[0] == "worker" else words[:2]
    used = {word for word in words if word.startswith("--")}
    assert used <= flags_of(*path) | {"--json"}


@pytest.mark.parametrize("script", [*BLOCKS, "slurm", "slurm with ray"])
def test_each_script_is_one(script):
    text = {"slurm": SLURM, "slurm with ray": RAY_SLURM}.get(script) or block(script)
    checked = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
    assert checked.stderr == ""


def test_the_server_s_options_are_mlflow_s():
    server = mlflow_cli.cli.commands["server"]
    known = {name for each in server.params for name in (*each.opts, *each.secondary_opts)}
    assert {*re.findall(r"--[a-z-]+", block("mlflow"))} <= known


def test_the_job_of_kubernetes_runs_a_worker_of_the_study_and_has_time_to_leave():
    job = yaml.safe_load(KUBERNETES)
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["command"][:3] == ["posebench", "worker", "mine"]
    assert {word for word in container["command"] if word.startswith("--")} <= flags_of("worker")
    assert pod["terminationGracePeriodSeconds"] >= 60
    assert {each["name"] for each in container["volumeMounts"]} == {each["name"] for each in pod["volumes"]}
    assert job["metadata"]["name"] + ".yaml" in block("secret")
    assert container["envFrom"][0]["secretRef"]["name"] in block("secret")


def test_the_options_of_ray_s_commands_are_ray_s():
    scripts = pytest.importorskip("ray.scripts.scripts", reason=MISSING)

    def known(command):
        return {name for each in scripts.cli.commands[command].params for name in each.opts} | {"--"}

    launcher = yaml.safe_load(LAUNCHER)
    started = [*launcher["head_start_ray_commands"], *launcher["worker_start_ray_commands"]]
    lines = [block("ray head"), block("ray join"), *started]
    for line in (each for each in lines if "ray start" in each):
        assert {*re.findall(r"--[a-z-]+", line)} <= known("start"), line
    symmetric = RAY_SLURM.split("symmetric-run")[1].split(" -- ")[0]
    assert {*re.findall(r"--[a-z-]+", symmetric)} <= known("start") | known("symmetric-run")
    others = block("ray token") + block("ray cloud")
    for verb, line in re.findall(r"^ray (up|exec|down|get-auth-token)([^'\n]*)", others, re.M):
        assert {*re.findall(r"--[a-z-]+", line)} <= known(verb)


def test_the_launcher_s_file_is_what_ray_s_schema_asks_for():
    ray = pytest.importorskip("ray", reason=MISSING)
    schema = json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text())
    launcher = yaml.safe_load(LAUNCHER)
    pytest.importorskip("jsonschema").validate(launcher, schema)
    assert launcher["available_node_types"][launcher["head_node_type"]]["resources"] == {"CPU": 0}


@pytest.mark.long
def test_the_slurm_script_gives_its_trial_back_and_asks_for_another_job(place, programs, tmp_path):
    """As Slurm sends it: SIGTERM to the script alone. The job that it asked for goes on to the study's end."""
    (place.folder / "tiny.toml").write_text(VALLEY_FILE + "sleep_ms = 20\n")
    stores = (
        f"export POSEBENCH_STORAGE=sqlite:///{place.folder}/optuna.db\n"
        f"export MLFLOW_TRACKING_URI=sqlite:///{place.folder}/mlflow.db\n"
    )
    machine = Machine(tmp_path / "node1", stores, programs=programs)
    variables = {"STUDY": NAME, "DATA": "people", "CHECKPOINTS": str(tmp_path / "checkpoints"), "SLURM_JOB_ID": "17_3"}
    with ended(place.start(*place.study, "--workers", 0, "--json")) as driver:
        wait_for(lambda: entries(place, WAITING), driver, place)
        with ended(machine.start(SLURM, **variables)) as job:
            wait_for(lambda: entries(place, RUNNING), driver, place)
            job.send_signal(signal.SIGTERM)
            assert job.wait(DEADLINE_S) == 130, machine.said()
        assert machine.called.read_text() == "requeue 17_3\n"
        assert entries(place, RUNNING) == []
        with ended(machine.start(SLURM, **variables)) as job:
            assert job.wait(DEADLINE_S) == 0, machine.said()
        assert driver.wait(DEADLINE_S) == 0, output(place)
    assert machine.called.read_text() == "requeue 17_3\n"
    assert len(place.recorded()) == len(set(place.recorded())) == PLANNED


def test_the_ssh_loop_goes_on_to_the_next_host_and_the_stop_command_stops_one_worker(place, programs, tmp_path):
    """Its trials do not end, so that a loop which waits for a worker would never end."""
    stores = (
        f"export POSEBENCH_STORAGE=sqlite:///{place.folder}/optuna.db\n"
        f"export MLFLOW_TRACKING_URI=sqlite:///{place.folder}/mlflow.db\n"
    )
    login, first, second = (Machine(tmp_path / name, stores, programs=programs) for name in ("login", "gpu1", "gpu2"))
    changes = {"gpu1 gpu2 gpu3": "gpu1 gpu2", "worker mine": f"worker {NAME}", "/data/coco": "people"}
    with ended(place.start(*place.long_study, "--workers", 0)) as driver:
        wait_for(lambda: entries(place, WAITING), driver, place)
        with ended(login.start(replaced(block("ssh"), changes))) as loop:
            assert loop.wait(DEADLINE_S) == 0, login.said()
            wait_for(lambda: len(entries(place, RUNNING)) == 2, driver, place)
            assert login.start(block("stop")).wait(DEADLINE_S) == 0, login.said()
            wait_for(lambda: "interrupted" in (second.work / "worker.txt").read_text(), driver, place)
            assert len(entries(place, RUNNING)) == 1
            assert "interrupted" not in (first.work / "worker.txt").read_text()
