"""What a loader study's answer and claims say of rows made by hand, to the letter."""

import math
from dataclasses import replace

import pandas as pd
import pytest

from bench.kinds.loaders.analysis.bottleneck import (
    BALANCED,
    COMPUTE_BOUND,
    IN_TURN,
    LOADER_BOUND,
    MEMORY_BOUND,
    SHARED_CORES,
    UNKNOWN,
)
from bench.kinds.loaders.analysis.claims import (
    NO_STEP,
    OTHER_TRAININGS,
    all_sentences,
    border_sentences,
    bound_sentence,
    brief,
    dropped_sentences,
    fault_sentences,
    gain_sentences,
    knee_sentences,
    model_sentences,
    pick_sentences,
    ratio_text,
    settings_text,
    speed_text,
    straggler_sentences,
    threads_sentences,
    times_text,
    variant_sentences,
    workers_text,
)
from bench.kinds.loaders.analysis.delivery import CAUSES
from bench.kinds.loaders.analysis.findings import LoaderVerdict, Pick, Ratio, Variant
from bench.kinds.loaders.analysis.stream import NOT_COMPARED, SHARDING_REMEDY, stream_sentences
from bench.report.text import plain

DEFAULTS = {
    "batch_size": 8, "num_workers": 2, "pin_memory": False, "prefetch_factor": None, "persistent_workers": False,
    "start_method": None, "cv2_threads": 1, "own_loader": "", "n": 5, "status": "complete", "error": "", "faults": 0,
    "images_per_s": 100.0, "low": 98.0, "high": 102.0, "data_wait_share": 0.624, "of_model": 0.624,
    "possible_images_per_s": 103.0, "modelled_images_per_s": 103.0, "wait_p99_ms": 100.0, "first_batch_s": 0.5,
    "epoch_gap_s": math.nan,
    "if_loading_were_free": 1.45, "if_loading_were_free_low": 1.41, "if_loading_were_free_high": 1.49,
    "if_computing_were_free": 2.5, "if_computing_were_free_low": 2.4, "if_computing_were_free_high": 2.6,
}  # fmt: skip
GAIN = Ratio(1.45, 1.41, 1.49, 10)
EVERY_SETTING = {"pin_memory": True, "persistent_workers": True, "prefetch_factor": 4.0, "start_method": "spawn"}


def row(workers=2, **more):
    return pd.Series(DEFAULTS | {"key": str(workers), "num_workers": workers} | more)


def pick(key="2", **more):
    return Pick(**{"batch_size": 8, "key": key, "settled": True, "fastest": key, "reference": "0"} | more)


def verdict(*rows, **more):
    """Of 0, 2 and 4 workers, of which 2 are to be used."""
    frame = pd.DataFrame([*(rows or (row(0), row(2), row(4)))])
    given = {"picks": (pick(),), "chosen": "2", "limited": "2", "bottleneck": LOADER_BOUND, "slices": 40}
    return LoaderVerdict(frame, **given | more)


def variant(setting="prefetch_factor", value=4, *, standing="equal", key="v", gaps=(math.nan, math.nan)):
    return Variant(setting, value, key, GAIN, standing, *gaps)


@pytest.mark.parametrize(
    ("bound", "flip", "said"),
    [
        (
            MEMORY_BOUND,
            None,
            "Memory is the limit: training is still loader-bound with 2 workers and batches of 8 (62 % of the time is "
            "spent waiting for data), and more workers did not fit.",
        ),
        (
            LOADER_BOUND,
            2,
            "Training is loader-bound with 2 workers and batches of 8: were loading free, it would be 1.45 times (1.41 "
            "to 1.49) as fast.",
        ),
        (
            COMPUTE_BOUND,
            2,
            "Training is compute-bound from 2 workers on with 2 workers and batches of 8: were loading free, it would "
            "be 1.45 times (1.41 to 1.49) as fast.",
        ),
        (
            COMPUTE_BOUND,
            1,
            "Training is compute-bound with 2 workers and batches of 8: were loading free, it would be 1.45 times "
            "(1.41 to 1.49) as fast.",
        ),
        (
            BALANCED,
            None,
            "Loading and computing are balanced with 2 workers and batches of 8: either alone is about as fast as "
            "training with both.",
        ),
        (
            IN_TURN,
            None,
            "One process loads and computes in turn with 2 workers and batches of 8: 62 % of the time is spent waiting "
            "for data, the rest computing. Were loading free, training would be 1.45 times (1.41 to 1.49) as fast; "
            "were computing free, 2.5 times (2.4 to 2.6).",
        ),
        (
            SHARED_CORES,
            None,
            "Workers and the step share the cores with 2 workers and batches of 8: were loading free, training would "
            "be 1.45 times (1.41 to 1.49) as fast; were computing free, 2.5 times (2.4 to 2.6).",
        ),
        (
            UNKNOWN,
            None,
            "What holds training back with 2 workers and batches of 8 is not settled: the intervals are too wide to "
            "say.",
        ),
    ],
)
def test_the_limit_is_said_with_the_gains_that_show_it(bound, flip, said):
    assert bound_sentence(bound, row(), flip) == said


def test_no_workers_are_nothing_to_count_from():
    assert "is compute-bound with no workers and" in bound_sentence(COMPUTE_BOUND, row(0), 0)
    assert "is compute-bound with no workers and" in bound_sentence(COMPUTE_BOUND, row(0), None)


@pytest.mark.parametrize(
    ("images_per_s", "text"),
    [(0.5, "0.5"), (1.0, "1.00"), (9.99, "9.99"), (9.995, "10.0"), (99.9, "99.9"), (99.95, "100"), (1040.4, "1,040")],
)
def test_a_speed_has_three_digits_or_more(images_per_s, text):
    assert speed_text(images_per_s) == text


def test_ratios_of_two_and_more_have_one_decimal():
    assert ratio_text(Ratio(1.996, 1.95, 2.05, 10)) == "2.00 times (1.95 to 2.05, 10 blocks)"
    assert ratio_text(Ratio(2.0, 2.0, 2.05, 10)) == "2.0 times (2.0 to 2.0, 10 blocks)"
    assert ratio_text(Ratio(1.5, None, None, 1)) == "1.50 times (1 block, no interval)"
    ends = {"of_low": 2.0, "of_high": 2.09}
    assert times_text({"of": 2.04, **ends}, "of") == "2.0 times (2.0 to 2.1)"
    assert times_text({"of": 1.99, "of_low": math.nan, "of_high": math.nan}, "of") == "1.99 times"
    assert times_text({"of": math.nan, **ends}, "of") == "an unknown number of times"


def test_settings_are_told_by_what_differs_from_the_defaults():
    assert [workers_text(each) for each in (0, 1.0, 2)] == ["no workers", "1 worker", "2 workers"]
    assert settings_text(row()) == "2 workers with batches of 8"
    every = row(**EVERY_SETTING, cv2_threads=0)
    also = "pinned memory, persistent workers, prefetch_factor=4, start method spawn and cv2.setNumThreads(0)"
    assert brief(every) == f"2 workers, {also}"
    assert settings_text(every) == f"2 workers with batches of 8, {also}"
    own = row(**EVERY_SETTING, own_loader="mine:make")
    assert (brief(own), settings_text(own)) == ("your loader `mine:make`", "your loader `mine:make` with batches of 8")


def test_a_pick_is_told_with_its_rivals():
    found = verdict(margin=0.096)
    assert pick_sentences(found, pick("", why_not="None.")) == ["None."]
    assert pick_sentences(found, pick()) == [
        "At batches of 8, take 2 workers: 100 images/s (98.0 to 102), the cheapest setting at most 9.6 % slower than "
        "any other."
    ]
    assert pick_sentences(found, pick(equal=("0", "4")))[1:] == ["Equal to it within 9.6 %: no workers and 4 workers."]
    assert pick_sentences(found, pick(settled=False, open=("2", "4"))) == [
        "At batches of 8, the choice is not settled: best so far 2 workers, 100 images/s (98.0 to 102). Open: 2 "
        "workers and 4 workers."
    ]
    one = verdict(row(2, low=math.nan), row(4, n=0), row(0, batch_size=16))
    assert pick_sentences(one, pick()) == [
        "At batches of 8, only one configuration completed: 2 workers, 100 images/s (one block)."
    ]


def test_variants_are_told_by_their_standing():
    tried = [
        variant(value=4, standing="faster", key="2"),
        variant(value=8, standing="faster"),
        variant("persistent_workers", value=True),
        variant("start_method", "spawn"),
        variant("start_method", "forkserver", standing="slower"),
        variant("cv2_threads", 0, standing="open"),
    ]
    assert variant_sentences(verdict(variants=tuple(tried), margin=0.096), row()) == [
        "With prefetch_factor=4 it is 1.45 times (1.41 to 1.49, 10 blocks) as fast: 100 images/s (98.0 to 102).",
        "Also faster: prefetch_factor=8.",
        "Equal within 9.6 %: persistent_workers=True, start_method=spawn.",
        "Slower: start_method=forkserver.",
        "Tried, but not settled whether more than 9.6 % faster: cv2_threads=0.",
    ]


def test_a_gain_is_claimed_where_its_interval_excludes_one():
    default = "the images/s of PyTorch's defaults (num_workers=0, pin_memory=False)"
    assert gain_sentences(GAIN, row()) == [f"Expected: 1.45 times (1.41 to 1.49, 10 blocks) {default}."]
    assert gain_sentences(Ratio(1.1, 1.0, 1.2, 10), row()) == [
        f"Whether that is a gain is not settled: 1.10 times (1.00 to 1.20, 10 blocks) {default}."
    ]
    assert gain_sentences(Ratio(1.1, None, None, 1), row()) == [
        f"Measured: 1.10 times (1 block, no interval) {default}."
    ]
    assert gain_sentences(None, row()) == [
        "PyTorch's defaults (num_workers=0) have no result at this batch size: no gain can be claimed."
    ]
    assert gain_sentences(GAIN, row(0)) == ["The choice is PyTorch's default number of workers (0)."]
    for other in ({"pin_memory": True}, {"cv2_threads": 0}, {"own_loader": "mine:make"}):
        assert gain_sentences(GAIN, row(0, **other))[0].startswith("Expected"), other


def test_where_more_workers_do_not_help_is_told_with_the_most_that_were_tried():
    def told(knee, *workers):
        return knee_sentences(verdict(*map(row, workers), row(8, batch_size=4), row(8, n=0), knee=knee), row())

    assert told(None, 0, 4) == []
    assert told(0, 0) == [], "nothing but no workers was tried"
    assert told(0, 0, 4) == ["More workers do not help (measured up to 4)."]
    assert told(1, 0, 4) == ["From 1 worker on, more do not help (measured up to 4)."]
    assert told(4, 0, 4) == ["Images/s grow up to the most workers tried (4)."]


def test_how_much_of_what_is_possible_is_reached_is_told_with_what_limits_it():
    assert model_sentences(row(of_model=math.nan)) == []
    reached = "The choice reaches 62 % of the 103 images/s that "
    assert model_sentences(row(0)) == [f"{reached}one process doing both can reach."]
    slower = "the slower of loading alone and computing alone allows."
    assert model_sentences(row()) == [reached + slower]
    assert model_sentences(row(0, own_loader="mine:make")) == [reached + slower]
    assert model_sentences(row(possible_images_per_s=104.0)) == [
        f"{reached}these cores allow for workers and step together."
    ]


def test_stragglers_are_batches_that_take_three_times_as_long_as_usual():
    """A usual batch takes 80 ms, the usual first one up to ten times that."""
    assert straggler_sentences(row(wait_p99_ms=240.0, first_batch_s=0.8), COMPUTE_BOUND) == []
    late = [
        "One batch in a hundred is waited for 241 ms or more, while a batch takes 80 ms on average: single samples are "
        "slow."
    ]
    assert straggler_sentences(row(wait_p99_ms=241.0), COMPUTE_BOUND) == late
    assert straggler_sentences(row(wait_p99_ms=241.0), LOADER_BOUND) == []
    assert straggler_sentences(row(wait_p99_ms=241.0), MEMORY_BOUND) == []
    assert straggler_sentences(row(first_batch_s=0.81), LOADER_BOUND) == [
        "The first batch takes 0.81 s; images/s do not count that."
    ]
    assert straggler_sentences(row(first_batch_s=0.81, epoch_gap_s=0.456, wait_p99_ms=241.0), BALANCED) == [
        *late,
        "The first batch takes 0.81 s and the change of epochs 0.46 s; images/s do not count that.",
    ]


def test_the_change_of_epochs_is_told_where_workers_could_be_kept():
    chosen = row(epoch_gap_s=0.5)
    kept = variant("persistent_workers", value=True, gaps=(0.0234, 0.456))
    other = variant(gaps=(9.0, 9.0))
    assert border_sentences(chosen, [other, kept]) == [
        "The change of epochs took 0.023 s with persistent_workers=True, and 0.46 s without."
    ]
    assert border_sentences(row(0, epoch_gap_s=0.5), [kept]) == []
    assert border_sentences(row(epoch_gap_s=0.5, persistent_workers=True), [kept]) == []
    assert border_sentences(row(), [kept]) == []
    assert border_sentences(chosen, [other]) == []
    assert border_sentences(chosen, [replace(kept, value=False)]) == []
    assert border_sentences(chosen, [replace(kept, epoch_gap_s=math.nan)]) == []


def test_threads_of_opencv_are_told_unless_they_are_as_usual_or_the_loader_is_one_s_own():
    assert threads_sentences(row(cv2_threads=2.0)) == [
        "It needs cv2.setNumThreads(2) in every process that makes samples."
    ]
    assert threads_sentences(row()) == threads_sentences(row(cv2_threads=2, own_loader="mine:make")) == []


def test_faults_are_counted_by_how_they_ended():
    frame = pd.DataFrame(
        [
            row(0),
            row(1, status="timed_out", error="hung"),
            row(2, status="failed", error="KeyError: *a*"),
            row(4, status="failed", error="ValueError"),
            row(8, status="failed", error=f"made 3 of 9 otherwise. {CAUSES}"),
        ]
    )
    different, failed, hung = map(plain, fault_sentences(frame))
    assert different == (
        "1 configuration delivered different samples, and cannot be recommended: 8 workers with batches of 8 made 3 of "
        f"9 otherwise. {CAUSES}."
    )
    assert failed == "2 configurations failed (for example 2 workers with batches of 8: KeyError: *a*)."
    assert hung == "1 configuration hung and timed out (for example 1 worker with batches of 8: hung)."
    assert fault_sentences(frame[:0]) == []


def test_others_on_the_machine_are_told_from_a_tenth_of_the_cores_on():
    assert dropped_sentences(verdict(others_share=0.1)) == []
    assert dropped_sentences(verdict(others_share=0.624, dropped=2)) == [
        "Other programs used 62 % of the cores throughout: a quiet machine would settle more.",
        "2 of 40 slices were dropped: other programs used more of the machine than usual during them.",
    ]
    assert dropped_sentences(verdict(dropped=1, slices=1)) == [
        "1 of 1 slice was dropped: other programs used more of the machine than usual during them."
    ]


def test_all_claims_come_in_their_order():
    chosen = row(2, first_batch_s=2.0, epoch_gap_s=0.5, cv2_threads=2)
    tried = (variant("persistent_workers", value=True, gaps=(0.1, 0.5)),)
    found = verdict(row(0), chosen, row(4, status="failed", error="why"), variants=tried, gain=GAIN, knee=2)
    begins = [
        "Training is loader-bound", "At batches of 8, take", "Equal within 3 %: persistent", "Expected: 1.45 times",
        "From 2 workers on", "The choice reaches 62 %", "The first batch takes 2 s", "The change of epochs",
        "It needs cv2", "1 configuration failed", "the end",
    ]  # fmt: skip
    said = all_sentences(found, has_step=True, closing=["the end"])
    assert [text.startswith(begin) for text, begin in zip(said, begins, strict=True)] == [True] * len(begins), said
    without = all_sentences(found, has_step=False, closing=["the end"])
    assert without == [NO_STEP, *said[1:5], *said[6:]]
    two = replace(found, picks=(pick(), pick("0", batch_size=16)))
    assert all_sentences(two, has_step=True, closing=[]).count(OTHER_TRAININGS) == 1


def test_a_stream_is_told_to_be_divided_or_repeated():
    def told(sharding, workers=2):
        return stream_sentences("own:Stream", {"sharding": sharding, "why": "it hung"}, workers)

    assert told("whole", 1) == [NOT_COMPARED]
    assert told("whole") == [
        "Each of 2 workers delivers the whole stream of own:Stream: every sample comes 2 times. Speeds count repeated "
        f"samples too. {SHARDING_REMEDY}.",
        NOT_COMPARED,
    ]
    assert told("by_worker") == [
        "The stream of own:Stream is sharded by worker: every sample comes once.",
        NOT_COMPARED,
    ]
    assert told("unknown")[0].startswith(
        "It is not known whether the workers of own:Stream share its stream (it hung): if each delivers the"
    )
