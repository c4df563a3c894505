"""The cells of a loader study's tables, and what its appendix says, of rows made by hand."""

import math
from dataclasses import replace
from functools import cache

import pandas as pd
import pytest

from bench.kinds.loaders.analysis.delivery import CAUSES
from bench.kinds.loaders.analysis.findings import Pick, Ratio
from bench.kinds.loaders.report import tables
from bench.kinds.loaders.report.result import BLOCKS, SETTLED, TIME
from bench.kinds.loaders.report.sections import appendix, main
from bench.report.findings import Drawing, Table
from bench.report.text import plain
from tests.bench.test_loader_claims import GAIN, pick, row, variant, verdict
from tests.support.loader_cases import CASES, simulated_study
from tests.support.loader_results import result_of

MEASURED = {
    "phase": "grid", "panel": 0, "ratio": 1.0, "ratio_low": 0.98, "ratio_high": 1.02, "to_fastest": 0.9876,
    "to_fastest_low": 0.98, "to_fastest_high": 0.9921, "standing": "within", "disturbed": False, "slices": 10,
    "dropped": 1, "others_share": 0.0124, "au": 0.624, "wait_p50_ms": 1.0, "wait_p95_ms": 2.54, "epoch_gap_s": 0.12345,
    "cores_used": 1.624, "peak_memory_bytes": 1.246e9, "shm_peak_bytes": 6.24e6, "bottleneck": "loader-bound",
    "loader_images_per_s": 120.0, "compute_images_per_s": 1040.0, "gpu_utilization_percent": 62.4,
    "gpu_memory_bytes": 6.24e9, "gpu_others_bytes": 1e9,
}  # fmt: skip


@cache
def begun():
    """A small study of which only the settings matter."""
    return result_of(*simulated_study(CASES["compute-bound"], blocks=2), device="cpu")


def of(*rows, processes=None, changed=None, **more):
    """A study with these configurations; ``changed``: settings, ``more``: of the verdict."""
    found = begun()
    given = {name: value for name, value in more.items() if name in vars(found)}
    if processes is not None:
        given["processes"] = pd.DataFrame(processes)
    if changed is not None:
        given["spec"] = found.spec.model_copy(update=changed)
    own = {name: value for name, value in more.items() if name not in vars(found)}
    return replace(found, verdict=verdict(*(rows or (line(0), line(2), line(4))), **own), **given)


def line(workers=2, **more):
    return row(workers, **MEASURED | more)


def told(sections):
    """The paragraphs of sections, as plain text."""
    return [plain(part) for section in sections for part in section.parts if isinstance(part, str)]


def rows_in(sections):
    return [part.rows for section in sections for part in section.parts if isinstance(part, Table)]


def test_settings_are_named_by_what_differs_from_the_defaults():
    assert tables.configuration_text(line(1)) == "1 worker, batch 8"
    every = line(pin_memory=True, persistent_workers=True, prefetch_factor=4.0, start_method="spawn", cv2_threads=0)
    also = "pinned, persistent, prefetch 4, spawn, cv2 threads 0"
    assert tables.configuration_text(every) == f"2 workers, batch 8, {also}"
    assert tables.without_batch(every) == f"2 workers, {also}"
    assert tables.also_text(line(own_loader="my.fast:make", pin_memory=True)) == "make, pinned"
    assert tables.also_text(line(own_loader="my.fast")) == "fast"
    assert tables.also_text({**line(), "own_loader": math.nan}) == ""


def test_a_gain_and_a_speed_have_their_intervals_where_these_are_known():
    assert [tables.gain_cell(each) for each in (None, GAIN, Ratio(1.5, None, None, 1))] == [
        "-",
        "1.45 [1.41, 1.49]",
        "1.50",
    ]
    assert tables._share_interval(line()) == "100 ±2 %"
    assert tables._share_interval(line(low=93.0)) == "100 ±7 %"
    assert tables._share_interval(line(high=107.0)) == "100 ±7 %"
    assert tables._share_interval(line(low=37.6)) == "100 ±62 %"
    assert tables._share_interval(line(low=99.0, high=100.5)) == "100 ±1 %"
    assert tables._share_interval(line(low=99.5, high=100.6)) == "100 ±0.6 %"
    assert tables._share_interval(line(low=math.nan)) == tables._share_interval(line(high=math.nan)) == "100"
    assert tables._share_interval(line(images_per_s=math.nan, low=math.nan)) == "-"


def test_the_table_of_all_configurations_has_speeds_shares_and_standings():
    hung = line(4, status="timed_out", n=0, images_per_s=math.nan, low=math.nan, high=math.nan, standing="")
    hung[["to_fastest", "to_fastest_low", "to_fastest_high", "data_wait_share"]] = math.nan
    assert tables.whole_rows(of(line(0), line(2, disturbed=True), hung)) == [
        ["0 workers, batch 8", "100 [98.0, 102]", "98.8 [98.0, 99.2]", "within", "5", "62 %", "complete"],
        ["2 workers, batch 8", "100 [98.0, 102]", "98.8 [98.0, 99.2]", "within", "5", "62 %", "complete, disturbed"],
        ["4 workers, batch 8", "-", "-", "-", "0", "-", "timed out"],
    ]


def test_a_varied_setting_has_its_share_of_what_it_varies():
    found = of(variants=(variant(key="4", standing="faster"),))
    assert [each[2:4] for each in tables.whole_rows(found)] == [
        ["98.8 [98.0, 99.2]", "within"],
        ["98.8 [98.0, 99.2]", "within"],
        ["145.0 [141.0, 149.0]", "faster"],
    ]


def test_where_something_is_impossible_there_are_no_shares():
    found = of(line(0), line(2, disturbed=True), line(4, batch_size=16), picks=(pick(""), pick("4", batch_size=16)))
    assert [each[2:4] for each in tables.whole_rows(found)] == [
        ["-", "-"],
        ["-", "disturbed"],
        ["98.8 [98.0, 99.2]", "within"],
    ]


def test_the_main_table_marks_what_to_use_and_has_no_column_in_vain():
    failed = line(4, status="timed_out")
    table = tables.main_table(of(line(0, to_fastest=math.nan, standing=""), line(2), failed))
    assert (table.columns, table.rows) == (
        ["workers", "images/s", "% of fastest", "waits"],
        [["2", "100 ±2 %", "99 % use", "62 %"], ["0", "100 ±2 %", "-", "62 %"], ["4", "timed out", "-", "62 %"]],
    )
    open_pick = (pick(settled=False),)
    rows = line(0, batch_size=4), line(2, pin_memory=True), line(4, images_per_s=200.0)
    table = tables.main_table(of(*rows, picks=open_pick))
    assert table.columns == ["workers", "batch", "also", "images/s", "% of fastest", "waits"]
    assert [each[:3] + each[4:5] for each in table.rows] == [
        ["0", "4", "-", "99 % within"],
        ["4", "8", "-", "99 % within"],
        ["2", "8", "pinned", "99 % best"],
    ]


def test_the_table_of_batch_sizes_has_the_gain_of_what_is_used():
    assert tables.size_table(of()) is None
    picks = (
        pick("2", gain=Ratio(9.0, None, None, 1)),
        pick("16", batch_size=16, settled=False, gain=GAIN),
        pick("", batch_size=32, disturbed=("x",)),
        pick("", batch_size=64),
    )
    found = of(line(2), line(16, batch_size=16, pin_memory=True), picks=picks, gain=Ratio(1.5, None, None, 1))
    assert tables.size_table(found).rows == [
        ["8", "2 workers", "100 ±2 %", "1.50", "yes"],
        ["16", "16 workers, pinned", "100 ±2 %", "1.45 [1.41, 1.49]", "no"],
        ["32", "-", "-", "-", "disturbed"],
        ["64", "-", "-", "-", "no result"],
    ]


def test_of_many_configurations_the_picks_their_rivals_and_the_fastest_of_each_size_are_shown():
    rows = [line(each, images_per_s=200.0 - each) for each in range(10)]
    rows += [line(each, batch_size=16, images_per_s=90.0 - each) for each in range(20, 30)]
    rows += [line(50 + each, status="failed") for each in range(5)]
    picks = (
        Pick(8, "9", settled=True, fastest="8", reference="7"),
        Pick(16, "29", settled=True, fastest="28", reference="27"),
    )
    found = of(*rows, picks=picks, chosen="9")
    shown = [each["num_workers"] for each in tables.shown_rows(found)]
    assert shown == [0, 1, 2, 7, 8, 9, 20, 21, 22, 27, 28, 29, 50, 51, 52, 53]
    varied = of(line(2), line(9, phase="around", images_per_s=500.0))
    assert [each["num_workers"] for each in tables.shown_rows(varied)] == [2, 9], "after the grid"
    empty = replace(found, verdict=replace(found.verdict, configurations=pd.DataFrame()))
    assert tables.shown_rows(empty) == []
    assert len(tables.disturbed_rows(empty)) == 0


def test_the_tables_of_limits_and_costs_have_all_numbers():
    found = of(line(2, modelled_images_per_s=math.nan), line(4, n=0), line(8, status="failed"))
    assert tables.limit_rows(found) == [
        [
            "2 workers, batch 8", "100", "120", "1,040", "103", "-", "62", "loader-bound", "1.45 [1.41, 1.49]",
            "2.50 [2.40, 2.60]",
        ]
    ]  # fmt: skip
    assert tables.detail_rows(found) == [
        ["2 workers, batch 8", "0.62", "1.0 / 2.5 / 100.0", "0.50", "0.123", "1.62", "1.25", "6.2"]
    ]
    assert tables.slice_rows(found) == [["2 workers, batch 8", "5", "10", "1", "1.2 %"]]
    assert tables.gpu_rows(found) == [["2 workers, batch 8", "62", "6.2"]]
    assert tables.gpu_rows(of(line(2, gpu_memory_bytes=math.nan))) == []


def test_needs_and_faults_have_their_tables():
    need = {"num_workers": 2, "batch_size": 8, "pin_memory": False, "memory_bytes": 1.246e9, "shm_bytes": 6.24e6}
    found = of(needs=[need, need | {"pin_memory": True}])
    assert tables.need_rows(found) == [["2", "8", "1.25", "6.2"], ["2", "8 (pinned)", "1.25", "6.2"]]
    bad = {**line(2), "status": "out_of_memory", "error": "why"}
    rows = [{**line(0)}, bad, bad, bad | {"error": ""}, bad | {"phase": "largest"}]
    assert tables.fault_rows(of(processes=rows)) == [
        ["2 workers, batch 8", "out of memory", "why", "2"],
        ["2 workers, batch 8", "out of memory", "-", "1"],
    ]


def test_memory_of_others_on_the_gpu_is_told_above_what_drivers_hold():
    own = (
        "GPU memory: of the measured process. GPU busy: share of time in which anything ran on this GPU, by NVML, once "
        "the first step had been given to it; without a figure where the loop was too short to say."
    )
    assert told(appendix.costs(of()))[1:] == [own]
    more = of(line(2), line(4, gpu_others_bytes=2.46e9))
    assert told(appendix.costs(more))[1:] == [f"{own} Others held up to 2.5 GB of it."]


def test_copies_to_the_gpu_are_told():
    copies = {"batch_bytes": 6.24e6, "pinned_gb_per_s": 12.34, "pageable_gb_per_s": 5.678, "hidden_share": 0.624}
    assert told(appendix.costs(of(transfers=copies)))[-1] == (
        "A batch of 6.24 MB reaches the GPU with 12.3 GB/s from pinned and 5.68 GB/s from pageable memory. Copied from "
        "pinned memory on a stream of its own beside matrix products, 62 % of the shorter one of the two is hidden "
        "behind the other; a training step that copies on its own stream, as this one does, does one after the other."
    )


@pytest.mark.parametrize(
    ("kinds", "said"),
    [
        (["", "pss", "rss"], "shared pages counted once (PSS)"),
        (["uss"], "shared pages left out (USS)"),
        (["rss", "pss"], "shared pages counted in every process (RSS)"),
        ([""], "not known here"),
        ([], "not known here"),
    ],
)
def test_memory_is_told_with_how_it_was_counted(kinds, said):
    found = of(processes=[{**line(), "memory_kind": kind} for kind in kinds])
    assert f"peak of these processes together, {said}." in told(appendix.costs(found))[0]


@pytest.mark.parametrize(
    ("largest", "said"),
    [
        ({"largest": None, "limited": True}, "Not even a batch of one fits."),
        ({"largest": 1, "limited": True}, "1 image fit into memory for a training step; more do not."),
        (
            {"largest": 16, "limited": False, "ended": ""},
            "16 images fit; the search ended there, at its limit (largest_batch_limit).",
        ),
        (
            {"largest": 16, "limited": True, "ended": "*why*"},
            "16 images fit into memory for a training step; more do not. The search ended early: *why*",
        ),
    ],
)
def test_the_largest_batch_is_told_with_what_limited_it(largest, said):
    sections = appendix.largest_batch(of(largest=largest))
    assert told(sections) == [said]
    assert not any(isinstance(part, Drawing) for section in sections for part in section.parts)
    assert appendix.largest_batch(of(largest=None)) == []


def test_needs_are_told_with_what_was_free():
    def free(**limits):
        return told(appendix.needs(of(limits=limits)))[0].partition("; ")[2].partition(" were free")[0]

    assert free(memory_free_bytes=6.24e9, shm_free_bytes=1.26e9) == "6.2 GB of memory and 1.3 GB of /dev/shm"
    assert free(memory_free_bytes=6.24e9) == "6.2 GB of memory"
    assert appendix.needs(of(needs=[])) == []


def how(**more):
    return told(appendix.how(of(**more)))


def test_what_was_loaded_is_told():
    assert how()[0] == "Data people, network small at 64 px, on cpu."
    assert (
        how(changed={"step_ms": 2.5})[0]
        == "Data people, network small at 64 px, with a step that waits 2.5 ms, on cpu."
    )
    own = {"dataset": "own:Data", "device": "cuda"}
    assert how(changed=own)[0] == "Data set own:Data, on cuda."
    assert how(changed={**own, "step": "own:step"})[0] == "Data set own:Data, with the step own:step, on cuda."


def test_blocks_and_turns_are_told():
    first = how(panels=1)[1]
    assert "one setting of it varied: 1 panel in all." in first
    assert "slices of about 1 s, in a random order back and forth (ABBA), once in each block" in first
    assert first.endswith(
        "Each process is measured in slices of training (end_to_end), loading without computing (loader) and computing "
        "on batches that are already there (compute)."
    )
    again = how(panels=2, changed={"turns": 3, "slice_s": 2.5, "loader": "own:make"})[1]
    assert "2 panels in all." in again
    assert "slices of about 2.5 s, in a random order back and forth (ABBA), 3 times in each block" in again
    assert again.endswith(" Measured beside these: own:make, your own loader.")
    assert how(changed={"dataset": "own:Data"})[1].endswith("in slices of loading alone, since no step was given.")


def test_looks_and_the_end_are_told():
    rows = line(0, ratio_low=1.0, ratio_high=1.0), line(2, ratio_high=1.3), line(4, ratio_high=1.31)
    found = of(*rows, changed={"blocks": 9, "min_blocks": 4, "interval": 0.3, "margin": 0.096}, spent_s=120.0)
    (said,) = [text for text in told(appendix.how(found)) if text.startswith("The ratios")]
    assert "are analysed after 4, 6 and 9 blocks." in said
    assert "known to within 30 % (1 of 2 are); a configuration known that well and more than 9.6 % slower" in said

    def end(**more):
        return how(spent_s=120.0, **more)[2].rpartition("drops out earlier. ")[2]

    assert end(ended="") == "The measuring has taken 2 min so far."
    assert end(ended=SETTLED) == "The measuring ended after 2 min, with all choices settled."
    assert end(ended=TIME, changed={"minutes": 2.5}) == (
        "The measuring ended at its time limit (2.5 minutes), after 2 min."
    )
    two = (pick(settled=False), pick("", batch_size=16, settled=False), pick("4", batch_size=32))
    assert end(ended=BLOCKS, picks=two) == (
        "The measuring ended at its largest number of blocks, after 2 min. Not settled: the choice for batches of 8 "
        "and 16."
    )


def test_dropped_slices_are_told():
    many = (
        "1,234 slices were measured; 1,001 of them were dropped because other programs (or the host of a virtual "
        "machine) used over 5 % more of the cores than usual."
    )

    def said(**more):
        given = verdict(line(), **{"slices": 1234, "dropped": 1001} | more)
        return told(appendix.how(replace(begun(), verdict=given)))[3]

    assert said() == many
    assert said(slices=0) == "No slice has been measured yet."
    assert said(others_share=0.0624) == f"{many} Other programs usually used 6.2 % of this machine's cores."


def process(workers, **more):
    ran = {"page_cache": "warm", "hashes": [1], "compared_samples": math.nan, "memory_kind": "pss"}
    return {**line(workers), **ran, **more}


def test_conditions_are_told():
    two = [process(0, page_cache="warm"), process(2, page_cache="cold")]
    assert how(processes=two, limits={"cores": 1.5})[4].endswith(
        "unless cv2_threads says otherwise. The page cache was cold or warm. The process could use 1.5 cores (affinity "
        "and quota)."
    )
    assert how(processes=two[:1], limits={})[4].endswith("The page cache was warm.")
    assert how(processes=[], limits={})[4].endswith("The page cache was unknown.")


def test_what_configurations_delivered_is_told():
    three = [process(0), process(2), process(2), process(4, hashes=[])]

    def said(processes=three, **more):
        return told(appendix.how(of(processes=processes, **more)))[5]

    assert said() == (
        "The 2 configurations whose batches were recorded delivered the same batches: the first 8 of each, compared by "
        "hash."
    )
    looked = [process(0), process(2, compared_samples=1000.0), process(4, compared_samples=1000.0)]
    with_workers = "; for each with workers, {} samples made by all workers at once were also compared with those of "
    assert said(looked).endswith(f"by hash{with_workers.format('1,000')}one process.")
    looked[1]["compared_samples"] = 256.0
    assert said(looked).endswith(f"by hash{with_workers.format('256 to 1,000')}one process.")
    few = "Too few configurations have delivered batches to compare them."
    assert said(three[:1]) == said([]) == said([process(0), process(0)]) == few
    assert said(different=("x",)) == "The configurations delivered different batches, as their hashes show."
    assert said(changed={"random_samples": True}).startswith("Samples are random by design (random_samples), so")
    assert said(stream={"sharding": "by_worker"}, changed={"dataset": "own:S"}).startswith("The stream of own:S is sh")
    odd = replace(
        of(processes=three), verdict=verdict(line(0), line(2), line(4, status="failed", error=f"made 1. {CAUSES}"))
    )
    assert told(appendix.how(odd))[5].startswith("All configurations except those named above delivered the same")


def test_the_main_table_is_explained_by_what_is_in_it():
    said = plain(main._table_text(of()))
    assert said.startswith(
        "Batches of 8. Images/s of training, ± the wider side of the 95 % interval. % of fastest: rel"
    )
    assert "measured side by side. Within: at most 3 % slower, slower: by more than that, open:" in said
    assert "in the time given. Waits:" in said
    found = of(
        line(0), line(2), line(4, batch_size=4), variants=(variant(),), picks=(pick(settled=False),), margin=0.096,
        changed={"dataset": "own:Data", "loader": "own:make"},
    )  # fmt: skip
    said = plain(main._table_text(found))
    assert said.startswith("Images/s of loading, ")
    assert (
        "side by side; for a varied setting, relative to the configuration that it varies. Within: at most 9.6 %"
        in said
    )
    assert (
        "slower: by more than that (a varied setting: by any amount), open: not settled in the time given, best:"
        in said
    )
    assert said.strip().endswith("Own loader: own:make.")
    assert main._table_text(of(line(2, n=0))) == ""


def test_what_the_main_table_leaves_out_is_counted():
    rest = main._rest(of(*(line(each) for each in range(14)), line(20, status="missing")))
    assert rest.startswith("2 more in the appendix. Unrounded: ")
    assert main._rest(of()).startswith("Unrounded: ")


@pytest.mark.parametrize(
    ("changed", "computes"),
    [
        ({}, "network"),
        ({"step_ms": 2.0}, "step"),
        ({"dataset": "own:Data"}, ""),
        ({"dataset": "own:Data", "step": "own:step"}, "step"),
    ],
)
def test_what_is_computed_is_a_network_a_step_or_nothing(changed, computes):
    assert of(changed=changed).computes == computes


def test_combinations_that_are_not_measured_yet_are_counted():
    asked = {"num_workers": (0, 2), "batch_size": (4, 8), "pin_memory": (True, False)}

    def left(*tried, pinning=True, **more):
        return of(processes=list(tried), changed=asked, limits={"pinning": pinning}, **more).unmeasured

    assert left() == 8
    assert left(pinning=False) == 4
    assert left(process(0), process(0), process(2)) == 6
    assert left(process(0, own_loader="own:make"), process(2, phase="around"), process(2)) == 7
    assert left(*(process(each) for each in range(9))) == 0
    assert left(different=("x",)) == 0


def test_measurements_are_counted_by_how_they_ended():
    rows = [process(0), process(2, status="failed"), process(2, status="failed"), process(9, phase="largest")]
    counted = of(processes=rows).trials()
    assert {name: number for name, number in counted.items() if number} == {"complete": 1, "failed": 2, "recorded": 3}
    assert {"bus_error", "skipped", "timed_out", "out_of_memory"} <= set(counted)
    assert of(processes=[]).trials()["recorded"] == 0
