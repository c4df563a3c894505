"""The comparisons run on small inputs and say what they should; no test looks at how long anything takes."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.optimizers import OPTIMIZERS
from bench.report.speed_page import write_speed_report
from bench.speed import cuda, everything, loader_measuring, optimizers, sample, train
from bench.speed.compare import Pair, compare, summarize, threads
from bench.speed.everything import NO_CUDA, Request, Speed, measure
from posemodel.errors import DataError
from tests.support.coco_builder import CocoBuilder

CPU = torch.device("cpu")


@pytest.fixture
def data(coco_builder: CocoBuilder) -> Path:
    coco_builder.fill("train", images=3)
    return coco_builder.write()


def row(ours: list[float], yardstick: list[float]):
    return summarize("a", "b", np.array(ours), np.array(yardstick), max_ratio=2.0, images=3)


def test_a_row_is_made_of_medians_and_its_interval_holds_the_ratio() -> None:
    found = row([4.0, 6.0, 5.0, 90.0, 5.0], [2.0, 2.5, 2.0, 30.0, 2.5])
    assert (found.median_ms, found.yardstick_ms, found.ratio) == (5.0, 2.5, 2.0)
    assert found.low <= found.ratio <= found.high
    document = found.as_row()
    assert document["ratio"] == document["median_ms"] / document["yardstick_ms"]
    assert (document["repeats"], document["asked"], document["images"]) == (5, 2.0, 3)


def test_spread_is_the_interquartile_range_of_the_ratios() -> None:
    assert row([1, 2, 3, 4, 5], [1, 1, 1, 1, 1]).spread == pytest.approx(2 / 3)
    assert row([3, 6, 9], [1, 2, 3]).spread == 0, "a slow minute that hits both sides alike is no spread"


def test_sides_take_turns_in_changing_order() -> None:
    calls: list[str] = []
    pairs = [Pair(lambda: calls.append("a"), lambda: calls.append("A"))] * 2
    found = compare("x", "y", pairs, repeats=4, warm_up=1)
    assert found.repeats == 4
    assert len(calls) == 2 * 2 * 5
    assert {"".join(calls[i : i + 2]) for i in range(0, len(calls), 2)} == {"aA", "Aa"}
    assert "".join(calls[0:4]) in ("aAAa", "AaaA")


def test_threads_are_put_back() -> None:
    before = torch.get_num_threads()
    with threads(1):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_a_sample_is_compared_with_and_without_its_targets(data: Path) -> None:
    whole, light, targets = sample.measure(data, repeats=3)
    assert (whole.max_ratio, light.max_ratio, targets.max_ratio) == (1.6, 1.3, None)
    assert set(whole.facts["parts_ms"]) == {"decode", "warp", "colour", "mask", "heatmaps", "PAFs"}
    assert whole.facts["images"] == 3
    assert whole.facts["data"] == data.name
    assert whole.threads == 1


def test_a_set_without_people_is_refused(coco_builder: CocoBuilder) -> None:
    coco_builder.image("train", 1)
    with pytest.raises(DataError, match="no image has a labelled person"):
        sample.measure(coco_builder.write(), repeats=3)


def test_synthetic_images_stand_in_for_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.speed.data.SYNTHETIC_IMAGES", 4)
    assert sample.measure(None, repeats=3)[0].facts["images"] >= 1


def test_the_loop_is_compared_with_bare_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "SIZE", 64)
    monkeypatch.setattr(train, "STEPS", 2)
    (found,) = train.measure(CPU, repeats=3)
    assert (found.max_ratio, found.facts["size"], found.facts["steps"]) == (1.03, 64, 2)


def test_every_optimizer_is_compared_with_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimizers, "NETWORK", "small")
    found = {each.name: each for each in optimizers.measure(CPU, repeats=3)}
    assert set(found) == set(OPTIMIZERS)
    assert {name: each.max_ratio for name, each in found.items() if each.max_ratio} == {"adabound": 0.6}
    moments = 4 * 688_408  # bytes of one float32 for each weight
    assert [
        found[name].facts["state_bytes"] // moments
        for name in ("sgd", "adam", "adabound", "amsbound", "adaboundw", "adabound_reference")
    ] == [1, 2, 2, 3, 2, 2]
    assert found["adam"].facts["implementation"] == "torch.optim.adam.Adam (fused)"
    assert found["adabound"].facts["implementation"] == "bench.optimizers.adabound.AdaBound (chunks)"


def test_the_comparisons_of_a_gpu_run_anywhere(data: Path) -> None:
    rows = cuda.measure(CPU, data, network="small", size=64, batch_size=2, matmul_side=64, compiled=False, repeats=1)
    assert [each.name.partition(",")[0] for each in rows] == [
        "train on the GPU",
        "train on the GPU",
        "loader of 4 workers",
        "targets on the GPU",
    ]
    for each in rows[:2]:
        assert each.facts["utilisation"] == pytest.approx(1 / each.ratio)
    assert rows[2].facts["headroom"] == pytest.approx(1 / rows[2].ratio)
    assert rows[2].facts["files"] == 3


@pytest.mark.skipif(not torch.cuda.is_available(), reason=NO_CUDA)
def test_the_gpu_is_compared() -> None:
    rows = cuda.measure(torch.device("cuda"), None, network="small", size=160, batch_size=8, repeats=3)
    assert len(rows) == 5


def test_the_report_is_the_document_and_a_table(data: Path, tmp_path: Path) -> None:
    found = measure("sample", Request(data, CPU, 3))
    path = write_speed_report(found, tmp_path / "reports" / "speed")
    document = json.loads(path.with_name("speed.json").read_text())
    assert document == found.as_document()
    assert set(document) >= {"name", "median_ms", "yardstick_ms", "ratio", "spread", "repeats", "results", "machine"}
    text = path.read_text()
    for each in found.rows:
        assert f"| {each.name} |" in text
    assert found.machine["cpu"] in text


def test_what_a_machine_without_a_gpu_skips_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    monkeypatch.setattr(train, "SIZE", 64)
    monkeypatch.setattr(train, "STEPS", 1)
    found = measure("train", Request(None, CPU, 3))
    assert list(found.skipped.values()) == [NO_CUDA]
    assert NO_CUDA in write_speed_report(found, tmp_path).read_text()


def test_all_has_the_rows_of_each_and_no_headline() -> None:
    found = Speed("all", [row([2, 2, 2], [1, 1, 1])], {}, {}, {"cpu": "x"})
    document = found.as_document()
    assert document["name"] == "all"
    assert "ratio" not in document
    assert document["results"][0]["ratio"] == 2


# --- the command -----------------------------------------------------------------------------------------------------


def test_json_has_the_contract_s_keys_and_every_row(posebench, data: Path) -> None:
    code, out, err = posebench("speed", "sample", "--data", data, "--repeats", 3, "--json")
    assert code == 0
    document = json.loads(out)
    assert set(document) >= {"name", "median_ms", "yardstick_ms", "ratio", "spread", "repeats"}
    assert document["name"] == "sample"
    assert document["ratio"] == pytest.approx(document["median_ms"] / document["yardstick_ms"])
    assert [each["name"] for each in document["results"]][:2] == ["sample", "sample, targets on the device"]
    assert "measuring sample" in err


def test_the_table_names_yardsticks_and_what_was_asked(posebench, data: Path) -> None:
    code, out, _ = posebench("speed", "sample", "--data", data, "--repeats", 3)
    assert code == 0
    assert "cv2.imread" in out
    assert "<= 1.6" in out
    assert "parts ms" in out


def test_wrong_data_is_one_line(posebench, tmp_path: Path) -> None:
    code, out, err = posebench("speed", "sample", "--data", tmp_path / "nowhere")
    assert (code, out) == (1, "")
    assert "no such folder" in err


def test_all_runs_every_comparison_and_writes_the_report(
    posebench, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = []
    for name in everything.COMPARISONS:
        rows = [row([2, 2, 2], [1, 1, 1])]
        monkeypatch.setitem(everything.COMPARISONS, name, lambda _, name=name, rows=rows: ran.append(name) or rows)
    code, out, _ = posebench("speed", "all", "--data", data, "--json", "--report", tmp_path / "speed")
    assert code == 0
    assert ran == ["sample", "decode", "train", "optimizers", "eval", "index", "startup"]
    assert json.loads(out) == json.loads((tmp_path / "speed" / "speed.json").read_text())


def test_one_failing_comparison_does_not_lose_the_others(
    posebench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_):
        raise RuntimeError("no compiler")

    for name in everything.COMPARISONS:
        monkeypatch.setitem(everything.COMPARISONS, name, lambda _: [row([2, 2, 2], [1, 1, 1])])
    monkeypatch.setitem(everything.COMPARISONS, "decode", fail)
    code, out, err = posebench("speed", "all", "--json", "--report", tmp_path)
    assert code == 1
    assert json.loads(out)["failed"] == {"decode": "RuntimeError: no compiler"}
    assert len(json.loads(out)["results"]) == len(everything.COMPARISONS) - 1
    assert "decode failed: RuntimeError: no compiler" in err
    assert "FAILED" in (tmp_path / "report.md").read_text()


def test_what_measuring_a_loader_costs_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader_measuring, "STEP_S", 0.0)
    (found,) = loader_measuring.measure(repeats=1)
    assert found.name == "loader measuring"
    assert min(found.median_ms, found.yardstick_ms) > 0
