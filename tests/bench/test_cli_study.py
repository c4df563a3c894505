"""`posebench study optimizers` before anything runs: spaces, budgets and series as typed, and what is refused."""

import json
import shutil

import pytest

from posemodel.errors import SettingsError
from tests.support.asked import prepared

SMOKE = ("study", "optimizers", "--preset", "smoke", "--device", "cpu", "--size", 64, "--batch-size", 2)


@pytest.fixture
def run_json(posebench, tiny):
    """The one JSON document of a study command."""

    def run(*arguments):
        code, out, err = posebench(*SMOKE, "--data", tiny, *arguments, "--json")
        assert code == 0, err
        return json.loads(out)

    return run


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--space", "adam:lr=log(1e-5,1e-2),bta=0.9"], "did you mean betas?"),
        (["--space", "adm:lr=0.1"], "did you mean adam?"),
        (["--space", "adabound:lr=0.1"], "--space adabound: the study does not compare adabound"),
        (["--space", "adam:lr=0.1", "--space", "adam:lr=0.2"], "already has a space"),
        (["--space", "adam"], "--space 'adam': "),
        (["--steps", "5", "--seconds", "5"], "give steps or seconds, not both"),
        (["--seconds", "0"], "seconds: "),
        (["--schedule", "cosine,cosine"], "must name each schedule once"),
        (["--schedule", "cosine,stop"], "schedule[1]: "),
        (["--pruner", "medain"], "pruner: "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_wrong_is_refused_before_anything_runs(posebench, tiny, hermetic, arguments, words):
    code, out, err = posebench(*SMOKE, "--data", tiny, "--optimizers", "adam,sgd", *arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert not list(hermetic.glob("*.db"))


def test_a_dry_run_tells_a_typed_space_and_a_budget_in_seconds(run_json, made_up_costs):
    """The smoke preset has 12 tune steps to 20."""
    typed = ("--space", "adam:lr=log(1e-4,1e-3),betas=(0.8,0.99)")
    found = run_json("--optimizers", "adam,adabound", *typed, "--seconds", 5, "--controls", "--dry-run")
    assert found["spec"]["spaces"]["adam"] == {"lr": {"log": [1e-4, 1e-3]}, "betas": {"value": [0.8, 0.99]}}
    adam = [trial["hyperparameters"] for trial in found["plan"] if trial["optimizer"] == "adam"]
    assert [point["betas"] for point in adam] == [[0.8, 0.99]] * 4, "two trials of each of two tunings"
    assert all(1e-4 <= point["lr"] <= 1e-3 for point in adam)
    assert (found["spec"]["tune_seconds"], found["spec"]["seconds"]) == (3.0, 5.0)
    assert (found["spec"]["tune_steps"], found["spec"]["steps"], found["training_images"]) == (None, None, None)
    assert found["trials"] == {"tune": 8, "confirm": 6, "planned": 14}, "AdaBound's control with it"
    # In each of two tunings two trials of 3 s for each of two, and a confirm trial of 5 s for each of three.
    assert found["estimate"]["seconds"] > 8 * 3 + 6 * 5


def test_a_dry_run_tells_the_first_round_of_every_tuning_and_how_many_trials_follow(run_json, posebench, made_up_costs):
    asked = ("--optimizers", "adam,sgd", "--tunings", 2, "--trials", 8, "--seeds", 1, "--tune-steps", 10, "--dry-run")
    found = run_json(*asked, "--steps", 20)
    assert [(trial["optimizer"], trial["tuning"], trial["round"]) for trial in found["plan"]] == [
        ("adam", 0, 0), ("sgd", 0, 0), ("adam", 1, 0), ("sgd", 1, 0)
    ] * 3  # fmt: skip
    assert {trial["phase"] for trial in found["plan"]} == {"tune"}
    assert found["trials"] == {"tune": 32, "confirm": 4, "planned": 36}
    # Of each tuning 6 trials of 5 steps and 2 of 10, and a confirm trial of 20, in batches of 2.
    assert found["training_images"] == 4 * (6 * 5 + 2 * 10 + 20) * 2
    code, out, _ = posebench(*SMOKE, "--data", found["spec"]["data"], *asked)
    text = " ".join(out.split())
    assert code == 0
    assert "then 20 tune trials near the best of these, and 4 confirm trials: each tuning's finalist on fresh" in text
    assert "2 optimizers x 2 tunings x (8 tune trials of up to 10 steps + 1 confirm seed of 20 steps)" in text


def test_names_of_optimizers_and_spaces_are_compared_in_any_case(tiny):
    typed = {"data": tiny, "optimizers": ["AdamW", "sgd"], "spaces": {"adamw": {"lr": {"value": 0.1}}}}
    assert prepared("optimizers", typed, None, "smoke", None).spec.spaces["AdamW"] == {"lr": {"value": 0.1}}


def test_a_dry_run_of_several_schedules_plans_a_study_for_each(posebench, made_up_costs, tiny):
    arguments = (*SMOKE, "--data", tiny, "--optimizers", "sgd", "--schedule", "step,constant", "--name", "mine")
    code, out, _ = posebench(*arguments, "--dry-run")
    assert code == 0
    assert "mine-step" in out
    assert "mine-constant" in out
    assert "All 2 studies of the series: " in out
    assert "Nothing was run." in out


@pytest.mark.long
def test_a_series_is_one_document(posebench, valley_file, plain_figures, tracking_uri, storage_url):
    arguments = ("study", "optimizers", "--preset", "smoke", "--device", "cpu", "--study", valley_file())
    arguments += ("--optimizers", "sgd", "--trials", 1, "--seeds", 1, "--steps", 2, "--tune-steps", 1, "--name", "mine")

    def document_of(*more):
        code, out, err = posebench(*arguments, *more, "--json")
        assert code == 0, err
        return json.loads(out)

    found = document_of("--schedule", "step,constant")
    assert (found["series"], found["kind"], found["preset"]) == ("mine", "optimizers", "smoke")
    assert found["status"] == "complete"
    assert [(study["study"], study["spec"]["schedule"]) for study in found["studies"]] == [
        ("mine-step", "step"),
        ("mine-constant", "constant"),
    ]
    assert {study["trials"]["complete"] for study in found["studies"]} == {4}
    again = document_of("--schedule", "step,constant")
    assert again == found, "what is finished is shown again"
    one = document_of("--schedule", "step", "--no-controls")
    assert one["study"] == "mine", "one schedule is no series"


def test_the_specs_of_a_series_differ_in_name_and_schedule_alone(tiny):
    made = prepared("optimizers", {"data": tiny, "schedule": ["step", "cosine"]}, None, "smoke", None)
    first, second = (spec.identity() for spec in made.specs)
    assert {name for name in first if first[name] != second[name]} == {"name", "schedule"}
    assert (made.is_series, made.spec) == (True, made.specs[0])
    assert made.name == f"optimizers-smoke-{tiny.name}"
    assert prepared("optimizers", {"data": tiny, "schedule": ["step"]}, None, "smoke", None).specs[0].name == made.name


def test_a_default_name_that_no_study_can_have_is_refused_before_anything_runs(tiny, hermetic):
    long = hermetic / ("a" * 130)
    shutil.copytree(tiny, long)
    with pytest.raises(SettingsError, match="name: must have at most 120 characters"):
        prepared("optimizers", {"data": long, "device": "cpu"})


def test_a_mistyped_optimizer_is_named_before_its_space(tiny):
    typed = {"data": tiny, "optimizers": ["adamm"], "spaces": {"adam": {"lr": {"log": [1e-4, 1e-2]}}}}
    with pytest.raises(SettingsError, match="no optimizer is called 'adamm', did you mean adam"):
        prepared("optimizers", typed)
