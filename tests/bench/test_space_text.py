"""`--space TEXT`: a space in one line of text, and a sentence for each way to mistype it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.optimizers.spaces import COMMAND_LINE, parse_space, parse_value, spaces_of
from posemodel.errors import SettingsError


@pytest.mark.parametrize(
    ("text", "name", "space"),
    [
        ("adam:lr=log(1e-5,1e-2)", "adam", {"lr": {"log": [1e-5, 1e-2]}}),
        (
            " my_package.Lion : lr = log( 1e-5 , 1e-2 ), betas=(0.9, 0.99) ,eps=values(0,0.1)",
            "my_package.Lion",
            {"lr": {"log": [1e-5, 1e-2]}, "betas": {"value": [0.9, 0.99]}, "eps": {"values": [0.0, 0.1]}},
        ),
        (
            "x:a=true,b=False,c=0.9,d=match_rms_adamw,e=[1,2]",
            "x",
            {
                "a": {"value": True},
                "b": {"value": False},
                "c": {"value": 0.9},
                "d": {"value": "match_rms_adamw"},
                "e": {"value": [1.0, 2.0]},
            },
        ),
        (
            "x:a=values(true,false),b=values(one,two),c=values((0.9,0.99),(0.8,0.9))",
            "x",
            {
                "a": {"values": [True, False]},
                "b": {"values": ["one", "two"]},
                "c": {"values": [[0.9, 0.99], [0.8, 0.9]]},
            },
        ),
    ],
)
def test_a_text_is_a_space(text, name, space):
    assert parse_space(text) == (name, space)
    assert repr(parse_space(text)[1]) == repr(space)  # True is no 1.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be NAME:PARAMETER=RANGE"),
        ("adam", "must be NAME:PARAMETER=RANGE"),
        (":lr=0.1", "must be NAME:PARAMETER=RANGE"),
        ("adam:", "must be NAME:PARAMETER=RANGE"),
        ("adam:lr=0.1,", "must be NAME:PARAMETER=RANGE"),
        ("adam:lr", "'lr' must be PARAMETER="),
        ("adam:l r=1", "'l r=1' must be PARAMETER="),
        ("adam:lr=", "lr: '' must be a number"),
        ("adam:lr=1e-5..1e-2", "lr: '1e-5..1e-2' must be a number"),
        ("adam:lr=lag(1e-5,1e-2)", "lr: must be .* did you mean log?"),
        ("adam:lr=value(1e-5,1e-2)", "lr: one value is written as itself; did you mean values?"),
        ("adam:lr=log(1e-2,1e-5)", "lr: must be log(LOW,HIGH) with 0 < LOW < HIGH; got log(1e-2,1e-5)"),
        ("adam:lr=log(1,1)", "0 < LOW < HIGH"),
        ("adam:lr=log(0,1)", "0 < LOW < HIGH"),
        ("adam:lr=log(-1,1)", "0 < LOW < HIGH"),
        ("adam:lr=log(1)", "0 < LOW < HIGH"),
        ("adam:lr=log(a,b)", "0 < LOW < HIGH"),
        ("adam:lr=loguniform(1e-5,1e-2)", "lr: must be log(LOW,HIGH) .* got loguniform(1e-5,1e-2), did you mean log?"),
        ("adam:lr=uniform(0,1)", "lr: must be log(LOW,HIGH) .* or values(A,B,...)"),
        ("adam:lr=log[1e-5,1e-2]", "lr: write log(1e-5,1e-2), with parentheses"),
        ("adam:lr=log(1e-5,1e-2", "lr: 'log(1e-5,1e-2' must be a number"),
        ("adam:lr=nan", "lr: must be one number"),
        ("adam:lr=inf", "lr: must be one number"),
        ("adam:betas=()", "betas: '()' must be numbers"),
        ("adam:betas=(0.9,high)", "betas: '(0.9,high)' must be numbers"),
        ("adam:lr=0.1,lr=0.2", "lr is given twice"),
        ("adam:lr=values()", "lr: '' must be a number"),
    ],
)
def test_a_mistyped_text_is_refused_with_the_text_and_the_parameter(text, message):
    with pytest.raises(SettingsError) as error:
        parse_space(text)
    said = str(error.value)
    assert said.startswith(f"--space {text!r}: ")
    assert all(part in said for part in message.split(" .* "))


def test_the_case_of_the_acceptance():
    name, space = parse_space("adam:lr=log(1e-5,1e-2),bta=0.9")
    with pytest.raises(SettingsError, match=r"did you mean betas\?"):
        spaces_of(["adam"], {name: space}, {"adam": COMMAND_LINE})


def test_a_typed_range_without_its_name_is_told_the_forms_of_a_range_and_a_choice():
    for text, name in (("adam:lr=(1e-5,1e-2)", "lr"), ("adam:one_minus_beta1=(0.1,0.2)", "one_minus_beta1")):
        with pytest.raises(SettingsError) as error:
            spaces_of(["adam"], dict([parse_space(text)]), {"adam": COMMAND_LINE})
        said = str(error.value)
        assert said.startswith(f"--space adam: {name}: must be a number, got (")
        assert "a range is log(LOW,HIGH)" in said
        assert "a choice values(A,B,...)" in said
    with pytest.raises(SettingsError, match=r"^file x: spaces\.adam\.lr: must be a number, .*\{log = \[low, high\]\}"):
        spaces_of(["adam"], {"adam": {"lr": [1e-5, 1e-2]}}, {"adam": "file x"})


@given(
    st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans()
    | st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=4).map(tuple)
)
def test_a_value_written_by_python_reads_back(value):
    read = parse_value(repr(value))
    assert read == value
    assert type(read) is type(value)
