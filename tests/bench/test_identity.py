"""What identifies trials and studies: the ids of the reports that ship, and settings that were added later."""

import json
from pathlib import Path

import pandas as pd
import pytest
from pydantic import Field, create_model

from bench.kinds.joint.kind import KIND as JOINT
from bench.kinds.joint.spec import JointSpec
from bench.kinds.loaders.plan import Block, Contestant, Panel
from bench.kinds.loaders.spec import LoaderSpec
from bench.kinds.networks.spec import NetworksSpec
from bench.kinds.optimizers.plan import outcomes_of, plan
from bench.kinds.optimizers.spec import StudySpec
from bench.measure.loader.configuration import configuration
from bench.trials import identity
from bench.trials.identity import FIRST_SETTINGS, digest, identifying, without_unused
from bench.trials.spec import TrialSpec
from posemodel.config import AugmentSettings, GroupSettings, LoaderSettings, PlateauSettings, TrainSettings
from tests.conftest import REPOSITORY

REPORTS = REPOSITORY / "reports"
MODELS = {
    each.__name__: each
    for each in (
        *(TrialSpec, TrainSettings, AugmentSettings, LoaderSettings, GroupSettings, PlateauSettings),
        *(StudySpec, JointSpec, LoaderSpec, NetworksSpec, type(configuration())),
    )
}
LATER = "a_setting_of_tomorrow"


def shipped(name, kind):
    """A report's study, and its records."""
    document = json.loads((REPORTS / name / "result.json").read_text())
    if kind is StudySpec and "tunings" not in document["spec"]:
        pytest.skip(f"reports/{name} is of the first protocol")
    return kind.from_stored(document["spec"] | {"data": "people"}), pd.read_csv(REPORTS / name / "records.csv")


def shipped_trials(name):
    """Each trial that a shipped report's study plans, and the ids of its records."""
    if name == "optimizers-cpu":
        spec, records = shipped(name, StudySpec)
        return plan(spec, outcomes_of(records)), set(records["trial_id"])
    spec, records = shipped(name, JointSpec)
    return JOINT.next_trials(spec, records), set(records["trial_id"])


@pytest.mark.parametrize("name", ["optimizers-cpu", "joint-cpu"])
def test_trials_are_called_as_in_the_shipped_reports(name):
    trials, ids = shipped_trials(name)
    assert {trial.id for trial in trials} == ids


def test_a_report_between_two_versions_has_ids_that_are_still_known():
    """When joint-gpu ran, `val_images` was new, and counted in ids for a day."""
    trials, ids = shipped_trials("joint-gpu")
    for trial in trials:
        assert trial.id in ids or trial.earlier_ids & ids


def test_measurements_are_called_as_in_the_shipped_report():
    rows = pd.read_csv(REPORTS / "loaders-cpu" / "measurements.csv").to_dict(orient="records")
    assert rows
    for row in rows:
        given = {each: row[each] for each in LoaderSettings.model_fields if row[each] == row[each]}
        settings = configuration(**given, cv2_threads=int(row["cv2_threads"]))
        block = Block(Panel(row["phase"], int(row["panel"]), ()), int(row["block"]), (), (), ())
        assert block.id_of(Contestant(settings)) == row["id"]


def test_every_model_whose_settings_count_is_known():
    assert set(FIRST_SETTINGS) == set(MODELS)
    for name, model in MODELS.items():
        assert set(FIRST_SETTINGS[name]) <= set(model.model_fields), "a setting that has gone would change every id"


@pytest.mark.parametrize("name", FIRST_SETTINGS)
def test_a_setting_that_is_added_later_counts_only_where_it_is_given(name, monkeypatch):
    """Whatever the model: at its default it is as if it did not exist."""
    model = MODELS[name]
    grown = create_model(name, __base__=model, **{LATER: (int, Field(default=7))})
    values = {key: value for key, value in _example(model).__dict__.items() if key in model.model_fields}
    before, same, other = model(**values), grown(**values), grown(**values, **{LATER: 8})
    assert identifying(same) == identifying(before)
    assert identifying(other) == identifying(before) | {LATER: 8}
    stored = json.loads(same.model_dump_json())
    assert without_unused(grown, stored) == without_unused(model, {k: v for k, v in stored.items() if k != LATER})
    monkeypatch.setitem(identity.FIRST_SETTINGS, name, (*FIRST_SETTINGS[name], LATER))
    assert digest(identifying(same)) != digest(identifying(before)), "what this test would have missed"


@pytest.mark.parametrize("name", FIRST_SETTINGS)
def test_every_setting_of_the_first_versions_counts(name):
    model = _example(MODELS[name])
    content = identifying(model)
    assert set(FIRST_SETTINGS[name]) <= set(content)


def test_a_model_that_is_not_known_counts_whole():
    model = create_model("Own", x=(int, 1), y=(int, 2))
    assert identifying(model()) == {"x": 1, "y": 2}


def _example(model):
    """A model with something in each setting that has no default."""
    train = TrainSettings(data=Path("people"), steps=5)
    trial = TrialSpec(
        phase="tune", index=0, optimizer="sgd", hyperparameters={"lr": 0.1}, data_digest="feed", train=train
    )  # fmt: skip
    if model is TrialSpec:
        return trial
    if model is TrainSettings:
        return train
    if model is StudySpec:
        placed = {"name": "mine", "preset": "small", "data": Path("people"), "data_digest": "feed", "device": "cpu"}
        budget = {"trials": 13, "tune_steps": 400, "steps": 1000, "size": 160}
        space = {"lr": {"log": [1e-4, 1.0]}}
        return StudySpec(**placed, **budget, optimizers=("adagrad",), spaces={"adagrad": space})
    if model is JointSpec:
        return shipped("joint-cpu", JointSpec)[0]
    if model is LoaderSpec:
        document = json.loads((REPORTS / "loaders-cpu" / "result.json").read_text())
        return LoaderSpec.from_stored(document["spec"] | {"data": "people"})
    if model is NetworksSpec:
        placed = {"data": Path("people"), "data_digest": "feed", "device": "cpu", "networks": ("small",)}
        return NetworksSpec(name="mine", preset="smoke", **placed)
    return model()
