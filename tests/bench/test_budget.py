"""`--budget`: what is chosen, said, kept and refused, through the command line; costs are made up, trials are real."""

import json
import re
from pathlib import Path

import pytest

from bench.study import budget as time_budget
from bench.study import probe
from tests.support import valley

FILE = "budget.toml"
NUMBERS = ("tunings", "trials", "seeds", "tune_steps", "steps", "evaluations")


@pytest.fixture
def study(valley_file, made_up_costs):
    """The command of a study of valleys."""
    file = valley_file(above='optimizers = ["sgd", "adam"]\nworkers = 1', name=FILE)
    return ("study", "optimizers", "--study", file, "--preset", "smoke", "--name", "quick")


@pytest.fixture
def never_measured(monkeypatch):
    """Fail where something is measured from here on."""

    def refuse():
        monkeypatch.setattr(probe, "measure", lambda *_, **__: pytest.fail("measured again"))

    return refuse


def planned(posebench, *arguments):
    code, out, err = posebench(*arguments, "--dry-run", "--json")
    assert code == 0, err
    return json.loads(out)


def numbers(document):
    return {name: document["spec"][name] for name in NUMBERS}


def test_a_dry_run_plans_what_fits(study, posebench):
    found = planned(posebench, *study, "--budget", "10m")
    assert found["spec"]["tunings"] >= 3 and found["spec"]["trials"] >= 8
    assert found["trials"]["tune"] == 2 * found["spec"]["tunings"] * found["spec"]["trials"]
    assert 300 < found["estimate"]["seconds"] < 600
    longer = planned(posebench, *study, "--budget", "1h")
    assert longer["estimate"]["seconds"] > 4 * found["estimate"]["seconds"]


def test_what_is_chosen_is_said_in_a_line(study, posebench):
    _, _, err = posebench(*study, "--budget", "10m", "--dry-run")
    said = [line for line in err.splitlines() if line.startswith("--budget 10m: ")]
    assert len(said) == 1
    assert "tunings x (" in said[0] and "estimated time: " in said[0]


def test_what_somebody_gave_stands(study, posebench, monkeypatch):
    monkeypatch.setenv("POSEBENCH_EVALUATIONS", "5")
    found = numbers(planned(posebench, *study, "--budget", "20m", "--trials", "9", "--steps", "300"))
    assert (found["trials"], found["steps"], found["evaluations"]) == (9, 300, 5)
    assert found["tunings"] > 3


@pytest.mark.usefixtures("stores")
@pytest.mark.long
def test_the_same_command_goes_on_with_what_was_chosen(study, posebench, never_measured):
    study = (*study, "--optimizers", "sgd", "--evaluations", "2", "--trials", "3", "--tunings", "1")
    chosen = numbers(planned(posebench, *study, "--budget", "1m"))
    command = (*study, "--budget", "1m", "--json")
    code, out, err = posebench(*command)
    assert code == 0, err
    first = json.loads(out)
    assert first["status"] == "complete"
    assert first["trials"]["complete"] + first["trials"]["diverged"] == first["trials"]["planned"]
    assert chosen["steps"] > 200
    never_measured()
    for budget, workers in (("1s", 2), ("5h", 1)):  # finished: shown again, whatever time there is
        code, out, err = posebench(*study, "--budget", budget, "--workers", workers, "--json")
        assert code == 0, err
        again = json.loads(out)
        assert (again["status"], again["trials"]) == ("complete", first["trials"])
        assert "the time is over" not in err
        assert f"--budget {budget}: the study quick has already begun; it continues with its settings" in err
    code, _, err = posebench(*study, "--budget", "1m", "--seeds", "4")
    assert code == 2
    assert "exists with another specification" in err and "seeds: 1 -> 4" in err
    code, _, err = posebench(*study)
    assert code == 2, "without the budget it is the preset's study"


@pytest.mark.usefixtures("stores")
def test_an_interrupted_study_goes_on_with_what_was_chosen(study, posebench, never_measured, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    command = (*study[:-1], "stopped", "--budget", "1m", "--optimizers", "sgd", "--trials", "2", "--tunings", "1")
    with monkeypatch.context() as patched:
        patched.setattr(valley._Descent, "go", interrupt)
        code, _, err = posebench(*command)
        assert code == 130, err
    never_measured()
    code, _, err = posebench(*command, "--json")
    assert code == 0, err
    assert "the study stopped has already begun" in err


def test_a_study_that_is_slower_than_measured_ends_with_what_it_has(
    valley_file, stores, made_up_costs, posebench, monkeypatch
):
    """Each step sleeps, which the made-up costs do not know; the same command is not needed to go on.

    The second study of the series is not begun.
    """
    monkeypatch.setattr(time_budget, "GRACE", 4 / 600)
    above = 'optimizers = ["sgd", "adam"]\nworkers = 1\nschedule = ["constant", "cosine"]'
    file = valley_file("sleep_ms = 1", above=above, name=FILE)
    study = ("study", "optimizers", "--study", file, "--preset", "smoke", "--name", "slow", "--budget", "10m")
    code, out, err = posebench(*study, "--json")
    assert code == 130, err
    [found] = json.loads(out)["studies"]
    assert found["status"] == "unfinished"
    assert 0 < found["trials"]["recorded"] < found["trials"]["planned"]
    assert "--budget 10m: the time is over" in err and "; left: about " in err
    assert "The same command goes on:\n  posebench study optimizers " in err
    assert "interrupted" not in err, "nobody did"
    assert Path(found["report"]).with_suffix(".html").is_file()
    _, again, _ = posebench("study", "status", "slow-constant", "--json")
    assert (json.loads(again)["status"], json.loads(again)["trials"]["running"]) == ("unfinished", 0)
    code, _, _ = posebench("study", "status", "slow-cosine")
    assert code == 2, "there is no such study yet"


def test_what_does_not_fit_is_refused_with_what_does(study, posebench):
    code, out, err = posebench(*study, "--budget", "30s", "--dry-run")
    assert (code, out) == (2, "")
    [line] = [line for line in err.splitlines() if "cannot compare" in line]
    said = r"--budget 30s: 30s cannot compare these 2 optimizers; (\d+) min can, with 3 tunings x \(8 tune trials"
    needed = int(re.search(said, line)[1])
    assert f"Give --budget {needed}m, or " in line
    assert posebench(*study, "--budget", f"{2 * needed}m", "--dry-run")[0] == 0


def test_a_series_has_the_time_together(valley_file, posebench, made_up_costs):
    above = 'optimizers = ["sgd", "adam"]\nworkers = 1\nschedule = ["constant", "cosine"]'
    study = ("study", "optimizers", "--study", valley_file(above=above), "--preset", "smoke", "--name", "two")
    found = planned(posebench, *study, "--budget", "20m")["studies"]
    assert numbers(found[0]) == numbers(found[1])
    assert 600 < sum(each["estimate"]["seconds"] for each in found) < 1200


@pytest.mark.parametrize("text", ["10", "soon"])
def test_a_time_needs_a_unit(study, posebench, text):
    code, _, err = posebench(*study, "--budget", text)
    assert code == 2
    assert f"--budget {text}: " in err and "10m" in err


@pytest.mark.parametrize("kind", ["loaders", "networks"])
def test_kinds_without_an_estimate_have_no_such_option(posebench, kind):
    code, _, err = posebench("study", kind, "--budget", "10m")
    assert code == 2
    assert "No such option" in err


def test_a_joint_study_is_sized_too(posebench, made_up_costs, tiny):
    study = ("study", "joint", "--preset", "smoke", "--data", tiny, "--name", "search")
    found = planned(posebench, *study, "--budget", "10m")
    assert found["spec"]["trials"] >= 12 and found["spec"]["seeds"] >= 1
    assert found["spec"]["startup_trials"] <= found["spec"]["trials"] / 3
    assert 200 < found["estimate"]["seconds"] < 600
    code, _, err = posebench(*study, "--budget", "5s")
    assert code == 2
    assert "5s cannot search this space; " in err


def test_a_joint_dry_run_says_how_long_it_takes(posebench, made_up_costs, tiny):
    study = ("study", "joint", "--preset", "smoke", "--data", tiny)
    found = planned(posebench, *study)["estimate"]
    assert found["seconds"] == pytest.approx(
        found["data_s"] + found["search_s"] + found["confirm_s"] + found["other_s"], abs=0.3
    )
    _, out, _ = posebench(*study, "--dry-run")
    assert "Estimated time, roughly: " in out
