"""Search spaces: points stay inside, documents go there and back, a wrong one is refused by name."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.space import Categorical, Log, as_document, from_document, log_ranges, point
from posemodel.errors import SettingsError

units = st.floats(0, 1)
ranges = st.tuples(st.floats(1e-8, 1e8), st.floats(1e-8, 1e8)).map(sorted).filter(lambda pair: pair[0] < pair[1])


@given(ranges, units)
def test_a_log_range_is_never_left(ends, unit):
    low, high = ends
    assert low <= Log(low, high).at(unit) <= high


@given(ranges)
def test_a_log_range_begins_and_ends_at_its_ends(ends):
    low, high = ends
    assert Log(low, high).at(0) == pytest.approx(low)
    assert Log(low, high).at(1) == pytest.approx(high)


def test_the_middle_of_a_log_range_is_the_geometric_mean():
    assert Log(1e-4, 1.0).at(0.5) == pytest.approx(1e-2)
    assert Log(2.0, 8.0).at(0.5) == pytest.approx(4.0)


@given(units)
def test_each_value_of_a_choice_has_an_equal_share(unit):
    values = (3.0, 1.0, 2.0)
    assert Categorical(values).at(unit) == values[min(math.floor(unit * 3), 2)]


def test_a_point_has_one_value_for_each_dimension_in_order():
    space = {"lr": Log(1e-2, 1.0), "start": Categorical((0.0, 0.1))}
    assert point(space, [0.5, 0.9]) == {"lr": pytest.approx(0.1), "start": 0.1}
    with pytest.raises(ValueError, match="zip"):
        point(space, [0.5])


def test_only_log_dimensions_have_ranges():
    assert log_ranges({"lr": Log(1e-2, 1.0), "start": Categorical((0.0, 0.1))}) == {"lr": (1e-2, 1.0)}


@given(
    st.dictionaries(
        st.text("abcdefgh_", min_size=1),
        ranges.map(lambda ends: Log(*ends))
        | st.lists(st.floats(-1e9, 1e9), min_size=1).map(lambda values: Categorical(tuple(values))),
    )
)
def test_a_document_gives_the_space_back(space):
    assert from_document(as_document(space), "spaces.x") == space


@pytest.mark.parametrize(
    "document",
    [
        3,
        "log",
        [1e-3, 1],
        {},
        {"log": []},
        {"log": [1.0]},
        {"log": [1e-3, 1, 2]},
        {"log": [0, 1]},
        {"log": [-1, 1]},
        {"log": [1, 1]},
        {"log": [1, 1e-3]},
        {"log": ["a", "b"]},
        {"log": [1, math.inf]},
        {"log": [math.nan, 1]},
        {"log": [False, True]},
        {"values": []},
        {"values": [math.nan]},
        {"values": [True]},
        {"linear": [0, 1]},
        {"log": [1e-3, 1], "values": [1]},
    ],
)
def test_a_document_that_is_no_dimension_is_refused_by_name(document):
    with pytest.raises(SettingsError, match=r"^spaces\.sgd\.lr: must be .*log.*values"):
        from_document({"lr": document}, "spaces.sgd")
