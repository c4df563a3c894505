"""Search spaces: points stay inside, documents go there and back, a wrong one is refused by name."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.optimizers.space import Categorical, Fixed, Log, as_document, from_document, log_ranges, point, searched
from posemodel.errors import SettingsError

units = st.floats(0, 1)
ranges = st.tuples(st.floats(1e-8, 1e8), st.floats(1e-8, 1e8)).map(sorted).filter(lambda pair: pair[0] < pair[1])
numbers = st.floats(-1e9, 1e9)
values = (
    numbers | st.booleans() | st.text("abc_", min_size=1) | st.lists(numbers, min_size=1, max_size=3).map(tuple)
)  # fmt: skip
dimensions = (
    ranges.map(lambda ends: Log(*ends))
    | st.lists(values, min_size=1).map(lambda each: Categorical(tuple(each)))
    | values.map(Fixed)
)
spaces = st.dictionaries(st.text("abcdefgh_", min_size=1), dimensions)


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
    values = (3.0, "word", True)
    assert Categorical(values).at(unit) == values[min(math.floor(unit * 3), 2)]


def test_a_point_has_one_coordinate_for_each_searched_dimension_in_order():
    space = {"lr": Log(1e-2, 1.0), "betas": Fixed((0.9, 0.99)), "start": Categorical((0.0, 0.1))}
    assert searched(space) == 2
    assert point(space, [0.5, 0.9]) == {"lr": pytest.approx(0.1), "betas": (0.9, 0.99), "start": 0.1}
    for unit in ([0.5], [0.5, 0.5, 0.5]):
        with pytest.raises(ValueError, match="2 searched dimensions"):
            point(space, unit)


def test_a_space_of_fixed_values_has_one_point():
    space = {"lr": Fixed(0.1), "nesterov": Fixed(True)}
    assert searched(space) == 0
    assert point(space, []) == {"lr": 0.1, "nesterov": True}


def test_only_log_dimensions_have_ranges():
    space = {"lr": Log(1e-2, 1.0), "start": Categorical((0.0, 0.1)), "eps": Fixed(1e-8)}
    assert log_ranges(space) == {"lr": (1e-2, 1.0)}


@given(spaces)
def test_a_document_gives_the_space_back_with_values_of_the_same_types(space):
    back = from_document(as_document(space), "spaces.x")
    assert back == space
    assert repr(back) == repr(space)  # True is no 1.0


@pytest.mark.parametrize(
    ("bare", "value"),
    [(3, 3.0), ("word", "word"), (True, True), ([0.9, 1], (0.9, 1.0))],
)
def test_a_bare_value_is_a_fixed_one(bare, value):
    (fixed,) = from_document({"x": bare}, "spaces.x").values()
    assert fixed == Fixed(value)
    assert type(fixed.value) is type(value)


@pytest.mark.parametrize(
    "document",
    [
        {"log": []},
        {"log": 3},
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
    ],
)
def test_a_range_that_is_none_is_refused_by_name(document):
    with pytest.raises(
        SettingsError, match=r"^spaces\.sgd\.lr: must be \{log = \[low, high\]\} with 0 < low < high; got"
    ):
        from_document({"lr": document}, "spaces.sgd")


@pytest.mark.parametrize(
    "document",
    [{"values": []}, {"values": 3}, {"values": [math.nan]}, {"values": [[]]}, {"values": [["a"]]}, {"values": [None]}],
)
def test_a_choice_that_is_none_is_refused_by_name(document):
    with pytest.raises(SettingsError, match=r"^spaces\.sgd\.lr: must be \{values = \[\.\.\.\]\}"):
        from_document({"lr": document}, "spaces.sgd")


@pytest.mark.parametrize("document", [{"value": math.inf}, math.nan, None, "", [], {"value": {}}, ["a"], [True]])
def test_a_value_that_is_none_is_refused_by_name(document):
    with pytest.raises(
        SettingsError, match=r"^spaces\.sgd\.lr: must be one number, word, true, false or list of numbers; got"
    ):
        from_document({"lr": document}, "spaces.sgd")


@pytest.mark.parametrize("document", [{}, {"linear": [0, 1]}, {"log": [1e-3, 1], "values": [1]}])
def test_an_unknown_form_is_refused_with_all_of_them(document):
    with pytest.raises(SettingsError, match=r"^spaces\.sgd\.lr: must be .*log.* or .*values"):
        from_document({"lr": document}, "spaces.sgd")


@pytest.mark.parametrize(
    ("form", "near"), [("lag", "log"), ("valeus", "values"), ("Log", "log"), ("loguniform", "log")]
)
def test_a_mistyped_form_is_refused_with_the_nearest(form, near):
    with pytest.raises(SettingsError, match=rf"^spaces\.sgd\.lr: .*, did you mean {near}\?"):
        from_document({"lr": {form: [1e-3, 1]}}, "spaces.sgd")
