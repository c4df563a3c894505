"""Two studies side by side: known answers by hand, no claim from noise, and the command on real report folders."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from scipy import stats

from bench.cli.actions import compare as compare_action
from bench.kinds.optimizers import compare as compare_module
from bench.kinds.optimizers.analysis import holm
from bench.kinds.optimizers.analysis.two_studies import compare_studies
from bench.kinds.optimizers.analysis.two_studies_verdict import SCOPE, comparison_verdict
from bench.kinds.optimizers.compare import compare
from bench.kinds.optimizers.report.comparison import PAGE, TITLE, write_comparison
from bench.statistics.nested import MARGIN
from bench.workloads.score import Score
from posemodel.errors import SettingsError
from tests.support.long_tests import long

NAMES = ("adam", "sgd", "adagrad")


def study(scores, *, speed=50.0, **columns):
    """Confirm records of {optimizer: AP of each tuning}, a tune record for each, speeds that vary by a percent."""
    rows = []
    for name, values in scores.items():
        shared = {"optimizer": name, "hyperparameters": json.dumps({"lr": 0.1}), "network": "small", "size": 64}
        shared |= {"data_digest": "feed", "status": "complete", **columns}
        rows.append({**shared, "trial_id": f"{name}-t", "phase": "tune", "seed": 0, "tuning": 0, "ap": 0.1})
        for k, ap in enumerate(values):
            row = {"trial_id": f"{name}-{k}", "phase": "confirm", "tuning": k, "seed": 1001 + k, "ap": ap}
            rows.append({**shared, **row, "images_per_s": speed * (1 + 0.01 * (k % 3))})
    return pd.DataFrame(rows)


def noisy(rng, n=3, gaps=None, sd=0.02):
    common = 0.02 * rng.standard_normal(n)  # a block is easy or hard for all
    return {name: 0.4 + (gaps or {}).get(name, 0) + common + sd * rng.standard_normal(n) for name in NAMES}


def test_one_optimizer_is_compared_by_welch_s_test_with_the_margin():
    a, b = [0.40, 0.43, 0.44], [0.50, 0.53, 0.58, 0.55]
    row = compare_studies(study({"adam": a}), study({"adam": b})).iloc[0]
    difference = np.mean(b) - np.mean(a)
    error = np.sqrt(np.var(a, ddof=1) / 3 + np.var(b, ddof=1) / 4)
    reference = stats.ttest_ind(b, a, equal_var=False)
    assert row["difference"] == pytest.approx(difference)
    assert row["p"] == pytest.approx(2 * stats.t.sf((difference - MARGIN) / error, reference.df))
    expected = reference.confidence_interval()
    assert (row["low"], row["high"]) == pytest.approx((expected.low, expected.high))
    assert (row["tunings_a"], row["tunings_b"], row["n_b"]) == (3, 4, 4)
    assert row["settings_a"] == {"lr": 0.1}
    assert row["better"] == "b"


def test_spreads_are_pooled_within_a_study_and_p_adjusted_over_the_optimizers():
    rng = np.random.default_rng(1)
    scores = noisy(rng), noisy(rng)
    table = compare_studies(*map(study, scores))
    assert table["p_adjusted"].to_numpy() == pytest.approx(holm(table["p"]))
    alone = [compare_studies(*(study({name: own[name]}) for own in scores)).iloc[0]["p"] for name in table["name"]]
    assert not np.allclose(table["p"], alone)
    assert table["speed_ratio"].tolist() == pytest.approx([1.0] * 3)


def test_a_study_that_collapsed_has_no_interval_and_counts_as_it_scored():
    a, b = study({"adam": [0.4, 0.41, 0.42]}), study({"adam": [0.4, 0.0, 0.42]})
    row = compare_studies(a, b).iloc[0]
    assert row["difference"] == pytest.approx(0.82 / 3 - 0.41)
    assert row["ap_b"] == pytest.approx(0.41), "where it learned"
    assert np.isnan(row[["low", "high", "ap_b_low"]].astype(float)).all()
    assert (row["collapsed_a"], row["collapsed_b"], row["better"]) == (0, 1, "")


def test_scores_of_another_range_have_a_margin_and_a_floor_of_their_own():
    a, b = {"adam": [0.40, 0.43, 0.44]}, {"adam": [0.50, 0.53, 0.58]}
    plain = compare_studies(study(a), study(b)).iloc[0]
    a, b = ({name: [100 * value for value in values] for name, values in scores.items()} for scores in (a, b))
    scaled = compare_studies(study(a), study(b), floor=2.0, scale=100.0).iloc[0]
    assert scaled["p"] == pytest.approx(plain["p"])
    collapsed = compare_studies(study(a), study({"adam": [50.0, 1.9, 58.0]}), floor=2.0, scale=100.0).iloc[0]
    assert collapsed["collapsed_b"] == 1


def test_swapping_the_studies_turns_every_sign():
    rng = np.random.default_rng(2)
    a, b = study(noisy(rng), speed=40), study(noisy(rng, gaps={"sgd": 0.3}), speed=60)
    there, back = (compare_studies(x, y).set_index("name").sort_index() for x, y in ((a, b), (b, a)))
    np.testing.assert_allclose(there["difference"], -back["difference"])
    np.testing.assert_allclose(there["speed_ratio"], 1 / back["speed_ratio"])
    assert there.loc["sgd", "better"] == "b"
    assert back.loc["sgd", "better"] == "a"
    assert set(there["faster"]) == {"b"}
    assert set(back["faster"]) == {"a"}


def test_shuffled_rows_change_nothing():
    rng = np.random.default_rng(3)
    a, b = study(noisy(rng)), study(noisy(rng))
    shuffled = compare_studies(a.sample(frac=1, random_state=1), b.sample(frac=1, random_state=2))
    pd.testing.assert_frame_equal(compare_studies(a, b), shuffled)


def false_claims(n, studies):
    """Shares of the pairs of equal studies of n tunings of which one is called better, or faster."""
    rng = np.random.default_rng(n)
    claims = {"better": 0, "faster": 0}
    for _ in range(studies):
        a, b = study(noisy(rng, n)), study(noisy(rng, n))
        for records in (a, b):
            records["images_per_s"] = 50 * np.exp(0.05 * rng.standard_normal(len(records)))
        table = compare_studies(a, b)
        for column in claims:
            claims[column] += bool((table[column] != "").any())
    return {column: count / studies for column, count in claims.items()}


@pytest.mark.parametrize("n", [3, long(6)])
def test_equal_studies_are_rarely_told_apart(n):
    """Of 20 pairs; of 200: tests/proofs/test_two_studies.py."""
    claims = false_claims(n, studies=20)
    assert claims["better"] <= 0.1
    assert claims["faster"] <= 0.1


def test_a_failed_trial_counts_as_zero_and_has_no_speed():
    a = study({"adam": [0.4, 0.41, 0.42]})
    b = study({"adam": [0.4, 0.41, 0.42]})
    b.loc[b["trial_id"] == "adam-1", "status"] = "diverged"
    row = compare_studies(a, b).iloc[0]
    assert row["difference"] == pytest.approx(-0.41 / 3)
    assert row["images_per_s_b"] == pytest.approx(np.sqrt(50 * 51))


def test_the_verdict_says_what_differs_and_what_does_not():
    rng = np.random.default_rng(4)
    a, b = study(noisy(rng, 4)), study(noisy(rng, 4, gaps={"sgd": 0.3}), speed=75.0)
    text = comparison_verdict(compare_studies(a, b))
    assert text.startswith("Not paired (each study tuned its optimizers independently). Of the optimizers in both, ")
    assert "AP is higher in B than in A, beyond noise: sgd (+0." in text
    assert re.search(
        r"AP does not differ beyond noise: (adam and adagrad|adagrad and adam) \(smallest adjusted p", text
    )
    assert "They were tuned 4 times in A and 4 in B." in text
    assert "B trained faster than A, beyond the spread within each study: " in text
    assert "x 1.50" in text
    assert text.endswith(SCOPE)


@pytest.mark.parametrize(
    ("b", "said"),
    [
        ({"adam": [0.5], "sgd": [0.2]}, "One tuning is too few: no claim for"),
        ({"adam": [0.5, 0.5, 0.5], "sgd": [0.2, 0.2, 0.2]}, "The tunings show no spread, so the t test is undefined"),
    ],
)
def test_the_verdict_says_why_nothing_was_tested(b, said):
    a = {"adam": [0.4, 0.4, 0.4], "sgd": [0.1, 0.1, 0.1]}
    text = comparison_verdict(compare_studies(study(a), study(b)))
    assert said in text
    assert "adam (+0.1" in text
    assert "beyond noise: " not in text
    assert "nan" not in text


def test_studies_without_a_common_optimizer():
    a, b = study({"adam": [0.4, 0.5]}), study({"sgd": [0.4, 0.5]})
    table = compare_studies(a, b)
    assert table.empty
    assert "nothing to compare" in comparison_verdict(table)


@pytest.fixture
def folders(tmp_path):
    """Two report folders, as the command reads them."""
    rng = np.random.default_rng(5)
    for key, gaps in (("one", {}), ("two", {"sgd": 0.3})):
        (tmp_path / key).mkdir()
        records = study(noisy(rng, gaps=gaps)).assign(control_of="")
        control = records[records["optimizer"] == "adam"].assign(optimizer="adam (limit)", control_of="adam")
        pd.concat([records, control]).to_csv(tmp_path / key / "records.csv", index=False)
        spec = {"tunings": 3, "network": "small", "size": 64, "schedule": {"one": "cosine", "two": "step"}[key]}
        document = {"study": key, "trials": {"recorded": 16, "planned": 16}, "spec": spec, "machine": {"cpu": key}}
        (tmp_path / key / "result.json").write_text(json.dumps(document))
    return tmp_path / "one", tmp_path / "two"


def test_report_folders_are_compared_and_written(folders, tmp_path):
    found = compare(str(folders[0]), str(folders[1]), "sqlite:///none.db")
    assert found.settings == ("schedule: 'cosine' -> 'step'",)
    assert found.machines == ("cpu: 'one' -> 'two'",)
    assert set(found.table["name"]) == set(NAMES)
    page = write_comparison(found, tmp_path / "out")
    assert page.read_text().startswith(TITLE)
    assert {path.name for path in page.parent.iterdir()} == {"compare.md", "compare.csv", "compare.png"}
    write_comparison(found, tmp_path / "out")
    document = json.loads(json.dumps(found.document(), allow_nan=False))
    assert document["a"] == {"study": "one", "source": folders[0].as_posix(), "recorded": 16, "planned": 16}
    assert document["b"]["study"] == "two"


def test_report_folders_are_compared_by_the_range_of_their_workload_s_score(folders, monkeypatch):
    score = Score("ap", "maximize", low=0.0, high=100.0, chance=10.0, failure=0.0)
    used, made = [], SimpleNamespace(score=score, sample_name="images")
    monkeypatch.setattr(compare_module, "workload", lambda name: used.append(name) or made)
    table = compare(str(folders[0]), str(folders[1]), "sqlite:///none.db").table
    assert set(used) == {"pose"}
    assert (table["collapsed_a"] == 3).all(), "12 of 100 is the floor, and all of these are below 1"


def test_studies_of_two_workloads_are_not_compared(folders):
    path = folders[1] / "result.json"
    document = json.loads(path.read_text())
    document["spec"]["workload"] = {"name": "elsewhere:Valley"}
    path.write_text(json.dumps(document))
    with pytest.raises(SettingsError, match=r"two: they train different workloads \(pose and elsewhere:Valley\)"):
        compare(str(folders[0]), str(folders[1]), "sqlite:///none.db")


def failed(records, which, status="failed"):
    """Records of which some ended without a result."""
    found = records.assign(error="")
    found.loc[which, ["status", "error"]] = [status, "RuntimeError: no such file"]
    found.loc[which, ["ap", "images_per_s"]] = np.nan
    return found


def test_studies_that_found_nothing_out_are_held_against_none(folders):
    path = folders[1] / "records.csv"
    records = pd.read_csv(path)
    failed(records, pd.Series(True, index=records.index)).to_csv(path, index=False)
    for pair, letter in ((folders, "B"), (folders[::-1], "A")):
        found = compare(*map(str, pair), "sqlite:///none.db")
        assert found.has_no_result
        assert found.verdict == (
            f"{letter} has no result. All 12 trials failed: 12 times `RuntimeError: no such file`. Fix the cause, "
            "then run the study under another --name: recorded trials are not repeated. There is nothing to "
            "compare. " + SCOPE
        )
    both = compare(str(folders[1]), str(folders[1]), "sqlite:///none.db").verdict
    assert both.startswith("A has no result. All 12 trials failed")
    assert "B has no result. All 12 trials failed" in both


def test_divergence_everywhere_can_be_compared(folders):
    path = folders[1] / "records.csv"
    records = pd.read_csv(path)
    failed(records, pd.Series(True, index=records.index), "diverged").to_csv(path, index=False)
    found = compare(*map(str, folders), "sqlite:///none.db")
    assert not found.has_no_result
    assert "AP is higher in A than in B, beyond noise" in found.verdict


def test_an_optimizer_that_failed_in_one_study_is_named(folders):
    path = folders[1] / "records.csv"
    records = pd.read_csv(path)
    failed(records, records["optimizer"] == "sgd").to_csv(path, index=False)
    found = compare(*map(str, folders), "sqlite:///none.db")
    assert not found.has_no_result
    assert found.verdict.startswith(
        "In B: All 4 trials of sgd failed: 4 times `RuntimeError: no such file`. Its AP of 0 says nothing about this "
        "optimizer. Not paired"
    )


def test_a_page_of_somebody_else_is_not_overwritten(folders, tmp_path):
    found = compare(str(folders[0]), str(folders[1]), "sqlite:///none.db")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / PAGE).write_text("my notes")
    with pytest.raises(SettingsError, match="give another folder"):
        write_comparison(found, tmp_path / "out")
    assert (tmp_path / "out" / PAGE).read_text() == "my notes"


def test_what_is_no_study_is_named(folders, tmp_path):
    with pytest.raises(SettingsError, match="A report folder"):
        compare(str(folders[0]), "nowhere", "sqlite:///none.db")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SettingsError, match=r"the folder is not a report: it needs result\.json and records\.csv"):
        compare(str(tmp_path / "empty"), str(folders[0]), "sqlite:///none.db")
    (folders[0] / "result.json").write_text("{}")
    with pytest.raises(SettingsError, match="its report cannot be read"):
        compare(str(folders[0]), str(folders[1]), "sqlite:///none.db")


@pytest.fixture
def with_own_schedules(folders):
    """Two studies of which one has an optimizer with a schedule of its own, and one that the other has not at all."""
    for folder, own in zip(folders, ({"sgd": "fixed", "prodigy": "fixed"}, {}), strict=True):
        path = folder / "result.json"
        document = json.loads(path.read_text())
        document["spec"] |= {"optimizers": list(NAMES), **({"own_schedules": own} if own else {})}
        path.write_text(json.dumps(document))
    return folders


def test_schedules_of_their_own_are_marked_wherever_two_studies_are_compared(with_own_schedules, tmp_path, monkeypatch):
    found = compare(*map(str, with_own_schedules), "sqlite:///none.db")
    assert found.other_schedules == {"sgd": "fixed"}, "prodigy is in one study alone"
    assert "prodigy" not in found.schedule_note
    document = {row["name"]: row for row in found.document()["optimizers"]}
    assert [document[name][f"schedule_{side}"] for name in ("adam", "sgd") for side in "ab"] == [
        *("cosine", "step"),
        *("fixed", "step"),
    ]
    labels = []
    monkeypatch.setattr(Axes, "set_yticks", lambda _self, _ticks, names: labels.extend(names))
    write_comparison(found, tmp_path / "out")
    assert {"adam", "sgd†"} <= {*labels}
    assert {"schedule_a", "schedule_b"} <= {*pd.read_csv(tmp_path / "out" / "compare.csv").columns}


def test_without_schedules_of_their_own_there_are_no_such_columns(folders):
    assert "schedule_a" not in compare(*map(str, folders), "sqlite:///none.db").output_table


def test_the_speed_table_of_the_command_has_a_heading_for_each_cell(folders, monkeypatch):
    tables = []
    monkeypatch.setattr(compare_action, "print_table", lambda columns, rows, title: tables.append((columns, rows)))
    compare_action.show_comparison(*map(str, folders), "sqlite:///none.db", None, as_json=False)
    assert [len(columns) for columns, _ in tables] == [7, 6]
    assert all(len(row) == len(columns) for columns, rows in tables for row in rows)
