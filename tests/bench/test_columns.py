"""Tables as an analysis reads them: every column there, of its plain type, and rows numbered from 0."""

import numpy as np
import pandas as pd
import pytest

from bench.trials.columns import (
    CURVE_COLUMNS,
    numbers,
    rows_by_value,
    rows_of,
    split_controls,
    study_records,
    with_curve_columns,
    with_record_columns,
)

ROW = {
    "trial_id": "a", "phase": "tune", "optimizer": "sgd", "hyperparameters": "{}", "seed": 0, "status": "complete",
    "ap": 0.5,
}  # fmt: skip
"""What every record has."""


def test_what_a_record_of_an_earlier_version_lacks_is_filled_in():
    (row,) = rows_of(with_record_columns(pd.DataFrame([ROW | {"mine": 7}], index=[5])))
    assert {name: row[name] for name in (*ROW, "mine")} == ROW | {"mine": 7}
    assert (row["control_of"], row["implementation"], row["tuning"], row["round"]) == ("", "", 0, 0)
    assert np.isnan(row["val_loss"]) and np.isnan(row["index"])


def test_a_whole_table_stays_the_same_object():
    whole = with_record_columns(pd.DataFrame([ROW, ROW | {"tuning": 2, "round": 1, "control_of": "adam"}]))
    assert whole["tuning"].tolist() == [0, 2] and whole["tuning"].dtype == int
    assert whole["control_of"].tolist() == ["", "adam"] and whole["control_of"].dtype == object
    assert whole["status"].dtype == object
    assert with_record_columns(whole) is whole
    gaps = whole.assign(round=[np.nan, 3.0])
    assert with_record_columns(gaps)["round"].tolist() == [0, 3]
    assert with_record_columns(whole.assign(implementation=[None, "x"]))["implementation"].tolist() == ["", "x"]


@pytest.mark.parametrize("rows", [slice(1, None), slice(None, None, 2), slice(None, None, -1)])
def test_rows_are_numbered_from_0(rows):
    whole = with_record_columns(pd.DataFrame([ROW | {"seed": seed} for seed in range(4)]))
    found = with_record_columns(whole[rows])
    assert found.index.tolist() == list(range(len(found)))
    assert found["seed"].tolist() == list(range(4))[rows]


@pytest.mark.parametrize(
    ("read", "frame", "said"),
    [
        (
            with_record_columns,
            pd.DataFrame([ROW]).drop(columns=["phase", "ap"]),
            "records lack the column(s) phase, ap",
        ),
        (
            with_curve_columns,
            pd.DataFrame([{"ap": 0.5, "step": 1}]),
            "curves lack the column(s) trial_id, train_seconds",
        ),
    ],
)
def test_a_table_without_what_must_be_there_is_refused(read, frame, said):
    with pytest.raises(ValueError) as refused:
        read(frame)
    assert str(refused.value) == f"the {said}"
    assert {"trial_id", "ap"} <= {*read(frame[:0]).columns}, "nothing is there yet"


def test_curves_need_no_further_column():
    assert list(with_curve_columns(pd.DataFrame()).columns) == list(CURVE_COLUMNS)
    curves = pd.DataFrame({name: [1.0] for name in ("mine", *CURVE_COLUMNS)})
    assert with_curve_columns(curves) is curves
    assert list(with_curve_columns(curves.set_index(pd.Index([5]))).columns) == [*CURVE_COLUMNS, "mine"]


def test_controls_are_apart_from_the_study_s_own_trials():
    records = with_record_columns(pd.DataFrame([ROW | {"seed": n, "control_of": ["", "sgd"][n % 2]} for n in range(4)]))
    own, controls = split_controls(records)
    assert (own["seed"].tolist(), controls["seed"].tolist()) == ([0, 2], [1, 3])
    assert (own.index.tolist(), controls.index.tolist()) == ([0, 1], [0, 1])
    assert list(own.columns) == list(controls.columns) == list(records.columns)
    assert study_records(records).equals(own)
    same, none = split_controls(own)
    assert same is own and none.empty and list(none.columns) == list(own.columns)


def test_what_is_no_number_is_unknown():
    assert numbers(pd.Series(["0.5", "x", None, 2])).tolist() == pytest.approx([0.5, np.nan, np.nan, 2.0], nan_ok=True)
    assert numbers(pd.Series([1, 2])).dtype == float
    column = pd.Series([0.5, np.nan])
    assert np.shares_memory(numbers(column), column.to_numpy())


def test_rows_are_found_by_value():
    found = rows_by_value(pd.DataFrame({"phase": ["tune", "confirm", "tune"]}), "phase")
    assert {value: rows.tolist() for value, rows in found.items()} == {"confirm": [1], "tune": [0, 2]}
