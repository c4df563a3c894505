"""Specifications: identity is content, the same everywhere; unknown fields are refused."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bench.kinds.optimizers.spec import StudySpec
from bench.trials.spec import TrialSpec
from bench.trials.study_base import differences, refuse_difference
from posemodel.config import TrainSettings
from posemodel.errors import SettingsError
from tests.support.plans import first_trials

IDS = """
import sys
from bench.kinds.optimizers.plan import plan
from bench.kinds.optimizers.spec import StudySpec
print(*[trial.id for trial in plan(StudySpec.model_validate_json(sys.stdin.read()), {})])
"""


def trial(**changes):
    train = {"data": Path("people"), "steps": 5, "size": 64, "network": "small", "device": "cpu"}
    train |= changes.pop("train", {})
    values = {"phase": "tune", "index": 0, "optimizer": "sgd", "hyperparameters": {"lr": 0.1}, "data_digest": "feed"}
    return TrialSpec(**(values | changes), train=TrainSettings(**train))


def test_ids_are_the_same_in_another_process_and_folder(make_spec, tmp_path):
    spec = make_spec(trials=3)
    expected = [planned.id for planned in first_trials(spec)]
    for hash_seed in ("1",):
        moved = spec.model_copy(update={"data": tmp_path / hash_seed})
        found = subprocess.run(
            [sys.executable, "-c", IDS],
            input=moved.model_dump_json(),
            cwd=tmp_path,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert found.stdout.split() == expected


def test_an_id_leaves_out_place_folder_and_border():
    base = trial()
    assert trial(index=7).id == base.id
    assert trial(at_border=("lr",)).id == base.id
    assert trial(train={"data": Path("/elsewhere/people")}).id == base.id
    assert trial(train={"val_images": 5}).id != base.id
    assert trial(tuning=None, round=None).id == base.id, "studies of other kinds have none"


@pytest.mark.parametrize(
    "change",
    [
        {"phase": "confirm"},
        {"optimizer": "adam"},
        {"hyperparameters": {"lr": 0.1 + 2**-56}},
        {"hyperparameters": {"lr": 0.1, "momentum": 0.9}},
        {"weight_decay": 1e-4},
        {"data_digest": "beef"},
        {"train": {"seed": 1}},
        {"train": {"steps": 6}},
        {"train": {"size": 80}},
        {"train": {"network": "rtpose_vgg"}},
        {"train": {"schedule": "constant"}},
        {"train": {"steps": None, "seconds": 5.0}},
        {"built_by": "sgd"},
        {"control_of": "adabound"},
        {"tuning": 1},
        {"tuning": 1, "round": 2},
        {"train": {"foreground_weight": 2.0}},
        {"train": {"val_split": "select"}},
        {"train": {"loader": {"batch_size": 4}}},
        {"train": {"augment": {"enabled": False}}},
    ],
    ids=str,
)
def test_an_id_changes_with_what_a_result_depends_on(change):
    assert trial(**change).id != trial().id


def test_the_order_of_hyperparameters_is_no_content():
    forward, backward = {"lr": 0.1, "momentum": 0.9}, {"momentum": 0.9, "lr": 0.1}
    assert trial(hyperparameters=forward).id == trial(hyperparameters=backward).id


@given(st.dictionaries(st.text(min_size=1, max_size=5), st.floats(allow_nan=False, allow_infinity=False), max_size=4))
def test_a_trial_survives_json_to_the_last_bit(hyperparameters):
    before = trial(hyperparameters=hyperparameters)
    after = TrialSpec.model_validate_json(before.model_dump_json())
    assert after == before
    assert after.id == before.id


VALUES = st.one_of(
    st.booleans(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=3).map(tuple),
)


@given(st.dictionaries(st.sampled_from(["lr", "betas", "nesterov", "mode"]), VALUES))
def test_values_of_every_kind_stay_what_they_are(hyperparameters):
    before = trial(hyperparameters=hyperparameters)
    assert {n: type(v) for n, v in before.hyperparameters.items()} == {n: type(v) for n, v in hyperparameters.items()}
    for again in (
        TrialSpec.model_validate_json(before.model_dump_json()),
        trial(hyperparameters=json.loads(json.dumps(hyperparameters))),
    ):
        assert again == before
        assert again.id == before.id


def test_a_whole_number_and_a_truth_are_told_apart():
    one, true = (trial(hyperparameters={"x": value}) for value in (1, True))
    assert (one.hyperparameters, true.hyperparameters) == ({"x": 1.0}, {"x": True})
    assert true.hyperparameters["x"] is True
    assert one.id != true.id


def test_the_same_data_in_another_folder_is_the_same_study(make_spec):
    assert make_spec(data="/a").identity() == make_spec(data="/b").identity()
    assert make_spec(digest="other").identity() != make_spec().identity()


def test_an_identity_is_plain_json(make_spec):
    identity = make_spec().identity()
    assert json.loads(json.dumps(identity)) == identity


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("stpes", 3),
        ("trials", 0),
        ("seeds", 0),
        ("steps", 0),
        ("size", 16),
        ("optimizers", []),
        ("optimizers", ["sgd", "sgd"]),
        ("kind", "loaders"),
        ("schedule", "cosin"),
        ("weight_decay", -1),
        ("foreground_weight", 0.5),
        ("device", "auto"),
        ("trial_time_limit", 0),
        ("pruner", "medain"),
        ("seconds", 5.0),
        ("tune_seconds", 5.0),
        ("steps", None),
        ("trials", 101),
        ("tunings", 0),
        ("tunings", 11),
        ("max_tunings", 2),
        ("max_tunings", 7),
    ],
)
def test_a_study_refuses_unknown_fields_and_values_out_of_range(make_spec, field, value):
    values = make_spec().model_dump() | {field: value}
    with pytest.raises(ValidationError, match=field):
        StudySpec(**values)


def test_a_study_that_goes_on_until_it_is_decided_first_looks_after_three_tunings(make_spec):
    values = make_spec().model_dump() | {"until_decided": True}
    with pytest.raises(ValidationError, match=r"first looks after 3 tunings: leave tunings at that.*\(tunings: 2\)"):
        StudySpec(**values)
    assert StudySpec(**values | {"tunings": 3, "max_tunings": 3}).max_tunings == 3


def test_a_trial_refuses_unknown_fields():
    with pytest.raises(ValidationError, match="momentum"):
        trial(momentum=0.9)
    with pytest.raises(ValidationError, match="learning_rate"):
        trial(train={"learning_rate": 0.9})


def test_a_study_in_seconds_has_no_steps(make_spec):
    values = make_spec().model_dump() | {"steps": None, "tune_steps": None}
    spec = StudySpec(**values | {"tune_seconds": 20, "seconds": 60})
    assert (spec.length("tune"), spec.length("confirm")) == ((20.0, "second"), (60.0, "second"))
    assert spec.length_text("confirm") == "60 seconds of training"
    assert make_spec(tune_steps=1).length_text("tune") == "1 step"
    with pytest.raises(ValidationError, match=r"both phases .* \(given: none\)"):
        StudySpec(**values)
    with pytest.raises(ValidationError, match=r"\(given: seconds\)"):
        StudySpec(**values | {"seconds": 60})


def test_a_study_stored_by_an_earlier_version_ran_no_controls(make_spec):
    document = make_spec().model_dump(mode="json")
    assert StudySpec.from_stored(document) == make_spec()
    later = ("controls", "pruner", "tune_evaluations", "tune_seconds", "seconds")
    old = StudySpec.from_stored({name: value for name, value in document.items() if name not in later})
    assert (old.controls, old.pruner, old.steps) == (False, "none", make_spec().steps)


def test_a_study_begun_by_another_version_is_said_so(make_spec):
    identity = make_spec().identity()
    old = {name: value for name, value in identity.items() if name not in ("pruner", "controls")}
    with pytest.raises(SettingsError, match="begun by another version of posebench, which has no controls, pruner"):
        refuse_difference("study", old, identity)
    refuse_difference("study", identity, identity)


def test_specifications_cannot_be_changed(make_spec):
    with pytest.raises(ValidationError, match="frozen"):
        make_spec().trials = 5


def test_differences_name_what_differs_and_nothing_else():
    old = {"steps": 5, "size": 64, "gone": 1}
    new = {"steps": 6, "size": 64, "more": "x"}
    assert differences(old, new) == ["gone: 1 -> None", "more: None -> 'x'", "steps: 5 -> 6"]
    assert differences(old, dict(old)) == []
