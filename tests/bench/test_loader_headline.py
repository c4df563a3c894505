"""What a loader study's answer says of rows made by hand, to the letter, and how sure it is."""

import math

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
from bench.kinds.loaders.analysis.delivery import CAUSES
from bench.kinds.loaders.analysis.findings import LoaderVerdict, Ratio
from bench.kinds.loaders.analysis.headline import headline, headline_metrics, sureness
from tests.bench.test_loader_claims import GAIN, pick, row, variant, verdict


def answer(*rows, computes="step", longer="", **more):
    return headline(verdict(*rows, **more), computes=computes, longer=longer)


FREE = "Loading is the limit: were it free, training would be 1.45 times as fast"


def test_the_answer_says_what_to_use_its_gain_and_the_limit():
    assert answer() == f"Use 2 workers with batches of 8: 100 images/s. {FREE}."
    assert answer(gain=GAIN) == (
        f"Use 2 workers with batches of 8: 100 images/s, 1.45 times PyTorch's default. {FREE}."
    )
    assert answer(gain=Ratio(1.1, 1.0, 1.2, 9)) == answer()
    two = (pick(), pick("4", batch_size=16))
    assert answer(picks=two).endswith(
        " Changing the batch size changes the training, so the choice for each is listed below."
    )
    assert answer(picks=(pick(), pick("", batch_size=16))) == answer(), "the other size has no choice"
    assert headline(LoaderVerdict(pd.DataFrame(), why_not="Nothing."), computes="step") == "Nothing."


def test_the_default_is_kept_where_nothing_is_faster():
    def kept(*rows, **more):
        return answer(*rows, chosen="0", picks=(pick("0"),), **more).partition(". ")[0]

    keep = "Keep PyTorch's default of no workers, with batches of 8: 100 images/s"
    assert kept(margin=0.096) == f"{keep}, and nothing tried at this batch size is more than 9.6 % faster"
    tried = (variant(), variant(standing="slower"))
    assert kept(variants=tried).endswith("nothing tried at this batch size is more than 3 % faster")
    for standing in ("open", "faster"):
        odd = (*tried, variant(standing=standing))
        assert kept(variants=odd).endswith(", and no number of workers tried is more than 3 % faster")
    assert kept(row(0), row(2, batch_size=16)) == keep, "nothing else was tried"
    pinned = row(0, pin_memory=True, key="pinned")
    assert kept(row(0), pinned, row(2, batch_size=16), variants=odd) == keep


@pytest.mark.parametrize(
    ("bound", "more", "said"),
    [
        (
            MEMORY_BOUND,
            {},
            "Memory is the limit: free loading would make training 1.45 times as fast, but more workers did not fit.",
        ),
        (LOADER_BOUND, {"knee": 2}, f"{FREE}; more workers do not help."),
        (LOADER_BOUND, {"knee": 4}, f"{FREE}; more than 4 workers were not tried."),
        (LOADER_BOUND, {}, f"{FREE}."),
        (COMPUTE_BOUND, {}, "The step takes more of the time than loading: free loading would bring at most 49 %."),
        (
            BALANCED,
            {},
            "Loading and the step are balanced: either of them made faster alone would bring less than 10 %.",
        ),
        (IN_TURN, {}, "One process loads and computes in turn: loading takes 62 % of the time, the step 38 %."),
        (
            SHARED_CORES,
            {},
            "Workers and the step share the cores: were loading free, training would be 1.45 times as fast; were "
            "computing free, 2.5 times as fast.",
        ),
        (UNKNOWN, {}, "What limits the speed is not settled."),
    ],
)
def test_the_answer_says_what_limits_the_speed(bound, more, said):
    assert answer(bottleneck=bound, **more).partition(". ")[2] == said


def test_a_step_that_is_the_limit_is_told_with_the_most_that_loading_could_bring():
    def limit(high):
        limited = row(2, if_loading_were_free_high=high)
        return answer(row(0), limited, row(4), bottleneck=COMPUTE_BOUND).partition(". ")[2]

    assert limit(1.1) == "The step is the limit: free loading would bring at most 10 %."
    assert limit(0.9) == "The step is the limit: free loading would bring at most 0 %."
    assert limit(2.456) == "The step takes more of the time than loading: free loading would bring at most 146 %."


def test_without_a_step_only_loading_was_measured():
    said = "No step was given, so only loading was measured"
    assert answer(computes="").partition(". ")[2] == f"{said}."
    assert answer(computes="", knee=4).partition(". ")[2] == f"{said}; more than 4 workers were not tried."
    alone = {"chosen": "0", "limited": "0", "picks": (pick("0"),), "knee": 0}
    assert answer(row(0), computes="", **alone).partition(". ")[2] == f"{said}.", "no workers were tried"


def test_what_is_not_settled_is_told_with_what_it_may_lose():
    begin = "Not settled: best so far 2 workers with batches of 8, 100 images/s"
    lose = " and at most 12.3 % slower than any other tried"

    def told(longer="", chosen="2", **more):
        return answer(picks=(pick(settled=False, **more),), chosen=chosen, longer=longer).removesuffix(f". {FREE}.")

    assert told() == begin
    assert told(loses_at_most=0.1234) == begin + lose
    assert told(loses_at_most=0.2) == begin, "that is no comfort"
    assert told(loses_at_most=0.1234, longer="wait") == f"{begin}{lose}; wait"
    assert told(loses_at_most=0.1234, chosen="4") == begin.replace("2 workers", "4 workers"), "a variant of the choice"


def sure(*rows, computes="network", cores=2.0, unmeasured=0, **more):
    return sureness(verdict(*rows, **more), cores=cores, computes=computes, unmeasured=unmeasured)


EVIDENCE = "Measured in 5 blocks of fresh processes side by side"
ENDS = f"{EVIDENCE}: 98.0 to 102 images/s (95 % intervals, over all looks at the data)."
SCOPE = "This holds for this machine (2 cores), this data set and this network."


def test_how_sure_the_answer_is_is_told_with_its_limits():
    assert sure() == f"{ENDS} {SCOPE}"
    assert sure(gain=GAIN) == (
        f"{EVIDENCE}: 98.0 to 102 images/s, 1.41 to 1.49 times PyTorch's default (95 % intervals, over all looks at "
        f"the data). {SCOPE}"
    )
    assert sure(gain=Ratio(2.05, 2.0, 2.14, 5)).startswith(f"{EVIDENCE}: 98.0 to 102 images/s, 2.0 to 2.1 times")
    assert sure(gain=Ratio(2.0, None, None, 1)) == sure()
    assert sure(row(0), chosen="0", picks=(pick("0"),), gain=GAIN) == (
        f"{ENDS} Nothing else completed at this batch size to compare it with. {SCOPE}"
    )
    assert sure(row(0), row(2, n=1, low=math.nan)).startswith(
        "Measured in 1 block of fresh processes side by side: too few, or too different, to know the speed within a "
        "factor of 4. This holds"
    )
    assert sure(cores=None, computes="").endswith(" This holds for this machine and this data set.")
    assert sure(cores=1.0, computes="step").endswith(
        " This holds for this machine (1 core), this data set and this step."
    )
    assert sure(unmeasured=1) == f"{ENDS} 1 combination not measured yet. {SCOPE}"
    assert sure(dropped=1, slices=9).startswith(f"{ENDS} 1 of 9 slices was dropped: ")
    other = pick("", batch_size=16, why_not="No verdict for 16.")
    assert sure(picks=(pick(), other)) == f"{ENDS} No verdict for 16. {SCOPE}"
    assert sureness(LoaderVerdict(pd.DataFrame()), cores=2, computes="step") == ""


def test_what_the_answer_was_compared_with_is_told():
    def told(**more):
        return sure(margin=0.096, **more).removeprefix(f"{ENDS} ").removesuffix(f" {SCOPE}")

    assert told(picks=(pick(settled=False, open=("2", "4")),)) == (
        "Not measured precisely enough to choose within 9.6 %: 2 workers and 4 workers."
    )
    assert told(picks=(pick(equal=("0", "4")),)) == (
        "Equal to it within 9.6 %, at a higher cost: no workers and 4 workers."
    )
    assert told(chosen="4", picks=(pick(equal=("0",)),)) == (
        "It was shown to be more than 9.6 % faster than the same without that one setting."
    )


def test_why_nothing_is_compared_with_the_defaults_is_told():
    why = "PyTorch's default of no workers {} at this batch size."
    rows = row(0, batch_size=16), row(2), row(4)
    assert why.format("was not measured") in sure(*rows)
    assert why.format("has no result") in sure(row(0, n=0), *rows[1:])
    assert why.format("was not measured") in sure(row(0, pin_memory=True), *rows[1:])


def test_configurations_without_a_result_are_counted_by_how_they_ended():
    rows = [
        row(0),
        row(2),
        row(4, status="failed", error=f"made 3 otherwise. {CAUSES}"),
        row(8, status="failed", error="why"),
        row(9, status="failed", error="why"),
        row(10, status="timed_out"),
        row(12, status="missing"),
    ]
    assert sure(*rows) == (
        f"{ENDS} Of 7 configurations, 1 delivered different samples, 2 failed and 1 hung and timed out. {SCOPE}"
    )
    assert sure(*rows[:2], rows[-1]) == f"{ENDS} {SCOPE}"


def test_the_numbers_of_the_answer_are_those_that_are_known():
    numbers = {
        "images_per_s": 100.0, "data_wait_share": 0.624, "num_workers": 2.0, "batch_size": 8.0, "pin_memory": 0.0,
        "settled": 1.0,
    }  # fmt: skip
    assert headline_metrics(verdict(row(0), row(2, of_model=math.nan))) == numbers
    assert headline_metrics(verdict(gain=GAIN)) == {
        **numbers, "of_model": 0.624, "gain": 1.45, "gain_low": 1.41, "gain_high": 1.49,
    }  # fmt: skip
    assert "gain_low" not in headline_metrics(verdict(gain=Ratio(1.5, None, None, 1)))
    assert headline_metrics(LoaderVerdict(pd.DataFrame())) == {}
