"""Two studies side by side: known answers by hand, no claim from noise, and the command on real report folders."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bench.kinds.optimizers.analysis import holm
from bench.kinds.optimizers.analysis.two_studies import compare_studies, why_not_paired
from bench.kinds.optimizers.analysis.two_studies_verdict import SCOPE, comparison_verdict
from bench.kinds.optimizers.compare import compare
from bench.kinds.optimizers.report.comparison import PAGE, TITLE, write_comparison
from posemodel.errors import SettingsError

NAMES = ("adam", "sgd", "adagrad")


def study(scores, *, speed=50.0, digest="feed", first_seed=1001, **columns):
    """Confirm records of {optimizer: APs}, a tune record for each, speeds that vary by a percent."""
    rows = []
    for name, values in scores.items():
        shared = {"optimizer": name, "hyperparameters": json.dumps({"lr": 0.1}), "network": "small", "size": 64}
        shared |= {"data_digest": digest, "status": "complete", **columns}
        rows.append({**shared, "trial_id": f"{name}-t", "phase": "tune", "seed": 0, "ap": 0.1})
        for k, ap in enumerate(values):
            row = {"trial_id": f"{name}-{k}", "phase": "confirm", "seed": first_seed + k, "ap": ap}
            rows.append({**shared, **row, "images_per_s": speed * (1 + 0.01 * (k % 3))})
    return pd.DataFrame(rows)


def noisy(rng, n=5, gaps=None, sd=0.02):
    common = 0.05 * rng.standard_normal(n)  # a seed is easy or hard for all
    return {name: 0.4 + (gaps or {}).get(name, 0) + common + sd * rng.standard_normal(n) for name in NAMES}


def test_paired_differences_by_hand():
    a = study({"adam": [0.40, 0.42, 0.44], "sgd": [0.30, 0.31, 0.35]})
    b = study({"adam": [0.50, 0.53, 0.55], "sgd": [0.30, 0.32, 0.34]})
    assert why_not_paired(a, b) == ""
    table = compare_studies(a, b).set_index("name")
    assert list(table.index) == ["adam", "sgd"]
    assert table.loc["adam", "difference"] == pytest.approx((0.10 + 0.11 + 0.11) / 3)
    assert table.loc["adam", "n"] == 3
    assert table.loc["sgd", "p"] == pytest.approx(1.0)
    spread = np.median([np.std([0.1, 0.11, 0.11], ddof=1), np.std([0, 0.01, -0.01], ddof=1)])
    t = table.loc["adam", "difference"] / (spread / np.sqrt(3))
    assert table.loc["adam", "p"] == pytest.approx(2 * stats.t.sf(t, 2))
    assert table.loc["adam", "p_adjusted"] == pytest.approx(holm(table["p"])[0])
    assert table.loc["adam", "speed_ratio"] == pytest.approx(1.0)


def test_other_data_is_compared_unpaired_and_the_reason_is_named():
    rng = np.random.default_rng(1)
    a, b = study(noisy(rng, 6)), study(noisy(rng, 6), digest="other")
    assert why_not_paired(a, b) == "the data set is not the same"
    table = compare_studies(a, b).set_index("name")
    own = [
        records[(records["optimizer"] == "adam") & (records["phase"] == "confirm")]["ap"].to_numpy()
        for records in (a, b)
    ]
    assert table.loc["adam", "p"] == pytest.approx(stats.ttest_ind(own[1], own[0], equal_var=False).pvalue)
    assert table["n"].isna().all()
    assert comparison_verdict(compare_studies(a, b), "the data set is not the same").startswith("Not paired (the data")


def test_seeds_that_are_not_shared_are_no_pairs():
    rng = np.random.default_rng(1)
    assert why_not_paired(study(noisy(rng)), study(noisy(rng), first_seed=2001)) == "they share fewer than two seeds"


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


def false_claims(n, digest, studies):
    """Shares of the pairs of equal studies of which one is called better, or faster."""
    rng = np.random.default_rng(n)
    claims = {"better": 0, "faster": 0}
    for _ in range(studies):
        a, b = study(noisy(rng, n)), study(noisy(rng, n), digest=digest)
        for records in (a, b):
            records["images_per_s"] = 50 * np.exp(0.05 * rng.standard_normal(len(records)))
        table = compare_studies(a, b, resamples=99)
        for column in claims:
            claims[column] += bool((table[column] != "").any())
    return {column: count / studies for column, count in claims.items()}


@pytest.mark.parametrize("n", [3, 10])
@pytest.mark.parametrize("digest", ["feed", "other"])
def test_equal_studies_are_rarely_told_apart(n, digest):
    """Of 40 pairs; of 200: tests/proofs/test_two_studies.py."""
    claims = false_claims(n, digest, studies=40)
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
    a, b = study(noisy(rng, 8)), study(noisy(rng, 8, gaps={"sgd": 0.3}), speed=75.0)
    text = comparison_verdict(compare_studies(a, b), "")
    assert "AP is higher with B's configuration than with A's, beyond noise: sgd (+0." in text
    assert re.search(r"configurations beyond noise: (adam and adagrad|adagrad and adam) \(smallest adjusted p", text)
    assert "B trained faster than A, beyond the spread within each study: " in text
    assert "x 1.50" in text
    assert text.endswith(SCOPE)


@pytest.mark.parametrize(
    ("b", "said"),
    [
        ({"adam": [0.5], "sgd": [0.2]}, "One seed decides nothing: no claim for"),
        ({"adam": [0.5, 0.6, 0.7], "sgd": [0.2, 0.3, 0.4]}, "The same difference in every seed"),
    ],
)
def test_the_verdict_says_why_nothing_was_tested(b, said):
    a = {"adam": [0.4, 0.5, 0.6], "sgd": [0.1, 0.2, 0.3]}
    studies = study(a), study(b)
    text = comparison_verdict(compare_studies(*studies), why_not_paired(*studies))
    assert said in text
    assert "adam (+0.1" in text or "adam (+0.0" in text
    assert "beyond noise: " not in text
    assert "nan" not in text


def test_studies_without_a_common_optimizer():
    a, b = study({"adam": [0.4, 0.5]}), study({"sgd": [0.4, 0.5]})
    table = compare_studies(a, b)
    assert table.empty
    assert "nothing to compare" in comparison_verdict(table, "")


@pytest.fixture
def folders(tmp_path):
    """Two report folders, as the command reads them."""
    rng = np.random.default_rng(5)
    for key, gaps in (("one", {}), ("two", {"sgd": 0.3})):
        (tmp_path / key).mkdir()
        records = study(noisy(rng, gaps=gaps)).assign(control_of="")
        control = records[records["optimizer"] == "adam"].assign(optimizer="adam (limit)", control_of="adam")
        pd.concat([records, control]).to_csv(tmp_path / key / "records.csv", index=False)
        spec = {"network": "small", "size": 64, "schedule": {"one": "cosine", "two": "step"}[key]}
        document = {"study": key, "trials": {"recorded": 18, "planned": 18}, "spec": spec, "machine": {"cpu": key}}
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
    assert document["a"] == {"study": "one", "source": folders[0].as_posix(), "recorded": 18, "planned": 18}
    assert document["b"]["study"] == "two"


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
        assert found.nothing_found
        assert found.verdict == (
            f"{letter} has no result. All 18 trials failed: 18 times `RuntimeError: no such file`. Mend the cause, "
            "then run the study under another --name: what is recorded is not run again. There is nothing to compare. "
            + SCOPE
        )
    both = compare(str(folders[1]), str(folders[1]), "sqlite:///none.db").verdict
    assert both.startswith("A has no result. All 18 trials failed")
    assert "B has no result. All 18 trials failed" in both


def test_divergence_everywhere_can_be_compared(folders):
    path = folders[1] / "records.csv"
    records = pd.read_csv(path)
    failed(records, pd.Series(True, index=records.index), "diverged").to_csv(path, index=False)
    found = compare(*map(str, folders), "sqlite:///none.db")
    assert not found.nothing_found
    assert "AP is higher with A's configuration than with B's, beyond noise" in found.verdict


def test_an_optimizer_that_failed_in_one_study_is_named(folders):
    path = folders[1] / "records.csv"
    records = pd.read_csv(path)
    failed(records, records["optimizer"] == "sgd").to_csv(path, index=False)
    found = compare(*map(str, folders), "sqlite:///none.db")
    assert not found.nothing_found
    assert found.verdict.startswith(
        "In B: All 6 trials of sgd failed: 6 times `RuntimeError: no such file`. Its AP of 0 says nothing of this "
        "optimizer. Paired by seed"
    )


def test_a_page_of_somebody_else_is_not_overwritten(folders, tmp_path):
    found = compare(str(folders[0]), str(folders[1]), "sqlite:///none.db")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / PAGE).write_text("my notes")
    with pytest.raises(SettingsError, match="give another folder"):
        write_comparison(found, tmp_path / "out")
    assert (tmp_path / "out" / PAGE).read_text() == "my notes"


def test_what_is_no_study_is_named(folders, tmp_path):
    with pytest.raises(SettingsError, match="A folder with"):
        compare(str(folders[0]), "nowhere", "sqlite:///none.db")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SettingsError, match=r"the folder has no result\.json and records\.csv"):
        compare(str(tmp_path / "empty"), str(folders[0]), "sqlite:///none.db")
    (folders[0] / "result.json").write_text("{}")
    with pytest.raises(SettingsError, match="no report of posebench that can be read"):
        compare(str(folders[0]), str(folders[1]), "sqlite:///none.db")
