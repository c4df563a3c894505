"""What a loader study looks at before it measures."""

import pytest

from bench.kinds.loaders import measuring
from bench.kinds.loaders.measuring import LoaderMeasuring
from bench.kinds.loaders.spec import LoaderSpec
from bench.measure.loader.comparison import Reference
from bench.measure.loader.error_texts import quoted, sample_kind
from bench.measure.loader.isolated import Answer
from bench.measure.loader.outcome import MeasurementStatus
from bench.measure.loader.probe import Probe
from bench.records.measurements import MeasurementTracker
from tests.support.asked import prepared


@pytest.fixture
def looks(monkeypatch, hermetic, tracking_uri):
    """A study of batches of 4, 8 and 2; with what it looks at samples and costs."""
    asked = {}

    def remember(name, value):
        def look(*_workload, **arguments):
            asked[name] = arguments
            return Answer(MeasurementStatus.COMPLETE, value, "", 0, "pss", 0, 0, 0.1)

        return look

    monkeypatch.setattr(measuring, "look_at_samples", remember("samples", Reference((1, 2), None)))
    monkeypatch.setattr(measuring, "probe", remember("probe", Probe(10, 10, 10, 0.1, 0.1, 0.1)))
    typed = {"dataset": "tests.support.troubled_data:Random", "batch_size": "4,8,2", "num_workers": "0,2"}
    spec = prepared("loaders", typed).spec
    LoaderMeasuring(spec, MeasurementTracker(tracking_uri, spec.name), lambda *_: None).check_data()
    return asked


def test_the_smallest_batch_is_looked_at(looks):
    """A larger one may not fit, and a study must be able to say so in a row."""
    assert looks["samples"]["batch_size"] == looks["probe"]["least_batch"] == 2
    assert looks["probe"]["with_workers"] is True


@pytest.mark.parametrize(
    ("own", "copies"),
    [
        ({"dataset": ""}, True),
        ({"dataset": "", "step_ms": 5.0}, False),
        ({"dataset": "a:Set"}, False),
        ({"dataset": "a:Set", "step": "a:step"}, True),
        ({"dataset": "a:Set", "step_ms": 5.0}, False),
    ],
)
def test_batches_are_copied_to_the_device_by_a_real_step_alone(own, copies):
    given = {"name": "x", "preset": "smoke", "data": ".", "data_digest": "feed", "device": "cpu"}
    spec = LoaderSpec(**given, num_workers=(0,), batch_size=(4,), pin_memory=(False,), **own)
    assert spec.copies_batches is copies


@pytest.mark.parametrize(("keys", "more"), [(4, False), (5, True)])
def test_a_sample_of_many_parts_is_named_by_the_first_four(keys, more):
    said = sample_kind({f"part{number}": number for number in range(keys)})
    assert said.startswith("dict of part0, part1, part2, part3")
    assert said.endswith(", ...") is more


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("x" * 188), "ValueError: " + "x" * 188),
        (ValueError("x" * 189), "ValueError: " + "x" * 185 + "..."),
        (ValueError("\n first. \nsecond"), "ValueError: first. "),
        (ValueError("no more of it."), "ValueError: no more of it"),
        (KeyError(), "KeyError"),
        (RuntimeError("Caught E in DataLoader worker process 0.\nOriginal Traceback\nKeyError: 'x'"), "KeyError: 'x'"),
    ],
)  # fmt: skip
def test_an_error_is_quoted_in_200_characters(error, said):
    assert quoted(error) == said
