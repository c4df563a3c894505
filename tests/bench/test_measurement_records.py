"""Processes of a loader study as MLflow keeps them: nothing that was finished is lost, whatever became of the rest."""

import math
from types import SimpleNamespace

import pandas as pd
import pytest

from bench.kinds.loaders.spec import LoaderSpec
from bench.measure.loader.configuration import configuration
from bench.records.measurements import (
    SLICE,
    SLICES_A_TAG,
    MeasurementTracker,
    _configuration,
    last_moment,
    measurements,
    slices,
)
from bench.trials.loader_settings import SETTINGS


@pytest.fixture
def tracker(tracking_uri, tmp_path):
    spec = LoaderSpec(
        name="s", preset="smoke", data=tmp_path, data_digest="d", device="cpu", num_workers=(0, 1), batch_size=(4,),
        pin_memory=(False,),
    )  # fmt: skip
    found = MeasurementTracker(tracking_uri, "s")
    found.parent = found.open_study(spec, {})
    return found


def row_of(number=0, **changed):
    settings = configuration(batch_size=4, num_workers=1, prefetch_factor=4).model_dump()
    place = {"id": f"{number:016x}", "phase": "grid", "panel": 0, "block": number, **settings, "own_loader": ""}
    ran = {"effective_pin_memory": False, "device": "cpu", "memory_kind": "pss", "page_cache": "warm"}
    lists = {"wait_quantiles_ms": [0.5, 1.25], "hashes": [17, 4]}
    return {**place, **ran, **lists, "status": "complete", "error": "", "start_s": 0.25, **changed}


def slice_of(place, **changed):
    own = dict.fromkeys(SLICE, 0.125) | {"place": place, "arm": "end_to_end", "batches": 3, "images": 12}
    return own | changed


def test_a_process_and_its_slices_come_back_as_they_were(tracker):
    run_id = tracker.begin_measurement(tracker.parent, row_of())
    tracker.store_start(run_id, row_of())
    kept = [slice_of(0), slice_of(1, arm="loader", others_share=math.nan, seconds=1 / 3)]
    tracker.store_slices(run_id, kept[:1])
    tracker.store_slices(run_id, kept)
    tracker.end_measurement(run_id, row_of())
    (found,) = measurements(tracker).to_dict("records")
    assert {name: found[name] for name in row_of()} == row_of()
    frame = slices(tracker)
    assert list(frame["place"]) == [0, 1]
    assert list(frame["arm"]) == ["end_to_end", "loader"]
    assert frame["seconds"].tolist() == [0.125, pytest.approx(1 / 3, rel=1e-6)]
    assert frame["others_share"].isna().tolist() == [False, True]
    assert frame["others_share"].dtype == float, "NaN, not None"
    assert (frame["prefetch_factor"] == 4).all()


def test_what_was_interrupted_counts_from_its_first_slice_on(tracker):
    without = tracker.begin_measurement(tracker.parent, row_of(0))
    with_some = tracker.begin_measurement(tracker.parent, row_of(1))
    tracker.store_start(with_some, row_of(1, effective_pin_memory=True))
    tracker.store_slices(with_some, [slice_of(0)])
    tracker.abandon()
    states = {run_id: tracker.client.get_run(run_id).info.status for run_id in (without, with_some)}
    assert set(states.values()) == {"KILLED"}
    found = measurements(tracker)
    assert list(found["run_id"]) == [with_some]
    assert found["status"].tolist() == ["complete"]
    assert found["hashes"].tolist() == [[17, 4]], "what it has delivered is compared all the same"
    assert found[["effective_pin_memory", "page_cache", "memory_kind"]].to_numpy().tolist() == [[True, "warm", ""]]
    assert len(slices(tracker)) == 1
    assert last_moment(tracker) is not None


def test_the_last_moment_is_the_latest_end_or_begin():
    runs = [
        SimpleNamespace(info=SimpleNamespace(start_time=at, end_time=end)) for at, end in ((1, 5), (7, None), (2, 3))
    ]
    assert last_moment(SimpleNamespace(child_runs=lambda: runs)) == 7
    assert last_moment(SimpleNamespace(child_runs=lambda: runs[::2])) == 5
    assert last_moment(SimpleNamespace(child_runs=list)) is None


def test_many_slices_stand_in_several_tags(tracker):
    run_id = tracker.begin_measurement(tracker.parent, row_of())
    many: list[dict[str, object]] = []
    for place in range(2 * SLICES_A_TAG + 1):
        many.append(slice_of(place))
        tracker.store_slices(run_id, many)
    assert slices(tracker)["place"].tolist() == list(range(len(many)))


def test_a_failed_process_keeps_what_it_had_finished(tracker):
    run_id = tracker.begin_measurement(tracker.parent, row_of())
    tracker.store_slices(run_id, [slice_of(0)])
    tracker.end_measurement(run_id, row_of(status="failed", error="ValueError: no"))
    assert measurements(tracker)[["status", "error"]].to_numpy().tolist() == [["failed", "ValueError: no"]]
    assert len(slices(tracker)) == 1
    assert tracker.client.get_run(run_id).info.status == "FAILED"


def test_nothing_measured_is_an_empty_frame(tracker):
    assert not len(measurements(tracker))
    assert isinstance(slices(tracker), pd.DataFrame)
    assert list(slices(tracker)["arm"]) == []


def test_a_configuration_is_named_by_its_settings_and_its_own_loader():
    settings = dict.fromkeys(SETTINGS) | {"batch_size": 4, "num_workers": 1, "pin_memory": True, "prefetch_factor": 2}
    assert _configuration({**settings, "own_loader": ""}) == "b4 w1 pin_memory prefetch_factor=2"
    assert _configuration({**settings, "own_loader": "own:make"}) == "b4 w1 pin_memory prefetch_factor=2 own:make"
