"""CSV files: nothing in them is a formula, and what is read back is what was written."""

import csv
import json
import re
from io import StringIO

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bench.report.csv_file import read_csv, write_csv
from bench.storage.visible import visible_lines

FORMULAS = ["=1+2", "+x", "-x", "@SUM(A1)", "\t=1", "  =1", "-2+3", "- 5", "--debug", "=cmd|' /C calc'!A0", "＝1+2"]
NUMBERS = ["-0.5", "+1", "-1e-05", "-.5", "12"]
PLAIN = ["adam", "-", "'quoted'", "a=b", '{"lr": -0.5}', "[-1, 2]", "1 - 2", "", 'Ярослав, "x"\nsecond line']


def cells(frame: pd.DataFrame, tmp_path) -> list[list[str]]:
    write_csv(frame, tmp_path / "table.csv")
    return list(csv.reader(StringIO((tmp_path / "table.csv").read_text(encoding="utf-8"), newline="")))


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_has_an_apostrophe_and_is_read_without_it(text, tmp_path):
    frame = pd.DataFrame({text: [text, "x"], "n": [1, 2]})
    assert cells(frame, tmp_path) == [[f"'{text}", "n"], [f"'{text}", "1"], ["x", "2"]]
    pd.testing.assert_frame_equal(read_csv(tmp_path / "table.csv"), frame)


@pytest.mark.parametrize("text", [*NUMBERS, *PLAIN])
def test_all_else_stays_as_it_is(text, tmp_path):
    assert cells(pd.DataFrame({"x": ["a", text], "n": [1, 2]}), tmp_path)[2] == [text, "2"]


def test_numbers_stay_numbers(tmp_path):
    frame = pd.DataFrame(
        {"f": [-0.1, np.nan, 1e-300], "i": [-1, 2, 3], "b": [True, False, True], "o": [-1, None, "=1"]}
    )
    expected = StringIO()
    frame.to_csv(expected, index=False)
    write_csv(frame, tmp_path / "table.csv")
    assert (tmp_path / "table.csv").read_text() == expected.getvalue().replace("=1", "'=1")
    assert read_csv(tmp_path / "table.csv")["f"].tolist()[0] == -0.1


def test_control_characters_are_written_out_and_half_characters_can_be_written(tmp_path):
    frame = pd.DataFrame({"error": ["\x1b[31mred\r\n\ttwo", "\udcff.jpg", "\u202ex", "a\x00b"]}, dtype=object)
    found = [row[0] for row in cells(frame, tmp_path)[1:]]
    assert found == ["\\x1b[31mred\\r\n\ttwo", "\\udcff.jpg", "\\u202ex", "a\\x00b"]


@given(
    st.lists(st.text(st.characters(), min_size=1, max_size=20) | st.text("'=+-@\t\n ,;\"1.e", min_size=1), min_size=2)
)
@example(["'=1", "''=1"])
def test_any_text_is_no_formula_and_comes_back(tmp_path_factory, texts):
    path = tmp_path_factory.mktemp("csv") / "table.csv"
    frame = pd.DataFrame({"text": texts, "json": [json.dumps(text) for text in texts]}, dtype=object)
    write_csv(frame, path)
    raw = pd.read_csv(path, dtype=str, keep_default_na=False)
    for text, written in zip(texts, raw["text"], strict=True):
        assert not re.match(r"\s*[=+@-]", written) or _is_number(written) or len(written.strip()) == 1, repr(text)
    found = read_csv(path, dtype={"text": str})
    known = found["text"].notna().to_numpy()  # pandas takes `NA`, `null` and the like for no value
    expected = pd.Series([visible_lines(text) for text in texts])
    assert found["text"][known].tolist() == expected[known].tolist()
    assert [json.loads(text) for text in found["json"]] == texts


def _is_number(text: str) -> bool:
    try:
        return bool(re.match(r"[+-]?[\d.]", text.strip())) and float(text) is not None
    except ValueError:
        return False
