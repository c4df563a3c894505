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

from bench.plan import plan_tune
from bench.spec import StudySpec, TrialSpec, differences
from posemodel.config import TrainSettings

IDS = """
import sys
from bench.plan import plan_tune
from bench.spec import StudySpec
print(*[trial.id for trial in plan_tune(StudySpec.model_validate_json(sys.stdin.read()))])
"""


def trial(**changes):
    train = {"data": Path("people"), "steps": 5, "size": 64, "network": "small", "device": "cpu"}
    train |= changes.pop("train", {})
    values = {"phase": "tune", "index": 0, "optimizer": "sgd", "hyperparameters": {"lr": 0.1}, "data_digest": "feed"}
    return TrialSpec(**(values | changes), train=TrainSettings(**train))


def test_ids_are_the_same_in_another_process_and_folder(make_spec, tmp_path):
    spec = make_spec(trials=3)
    expected = [planned.id for planned in plan_tune(spec)]
    for hash_seed in ("1", "2"):
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
    ],
)
def test_a_study_refuses_unknown_fields_and_values_out_of_range(make_spec, field, value):
    values = make_spec().model_dump() | {field: value}
    with pytest.raises(ValidationError, match=field):
        StudySpec(**values)


def test_a_trial_refuses_unknown_fields():
    with pytest.raises(ValidationError, match="momentum"):
        trial(momentum=0.9)
    with pytest.raises(ValidationError, match="learning_rate"):
        trial(train={"learning_rate": 0.9})


def test_specifications_cannot_be_changed(make_spec):
    with pytest.raises(ValidationError, match="frozen"):
        make_spec().trials = 5


def test_differences_name_what_differs_and_nothing_else():
    old = {"steps": 5, "size": 64, "gone": 1}
    new = {"steps": 6, "size": 64, "more": "x"}
    assert differences(old, new) == ["gone: 1 -> None", "more: None -> 'x'", "steps: 5 -> 6"]
    assert differences(old, dict(old)) == []
