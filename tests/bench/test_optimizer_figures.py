"""The figures of an optimizers study, against the analysis that they show: nothing moved or hidden, in one style."""

import json
from collections import Counter

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.artist import Artist
from matplotlib.collections import Collection
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D
from matplotlib.text import Text

from bench.kinds.optimizers.report import figures
from bench.kinds.optimizers.report.figures.panels import panel_grid
from bench.kinds.optimizers.report.figures.scores import scores
from bench.report.style import COLOURS, INK, QUIET, series_style
from bench.trials.status import FAULTS, Status
from tests.bench.test_report import FATES, SIX, result_of
from tests.support.long_tests import long
from tests.support.tuned_records import tuned

COLLAPSED = (("adadelta", 1), ("adam", 2))


@pytest.fixture(scope="module")
def spec(make_spec):
    return make_spec(optimizers=SIX, trials=8, seeds=2, tunings=3, steps=80, tune_steps=30, evaluations=4, name="six")


@pytest.fixture(scope="module")
def result(spec):
    return result_of(spec, *tuned(spec, fates=FATES, diverge_from=10.0, collapsed=COLLAPSED))


@pytest.fixture
def drawn(result):
    """Draw one of the figures."""
    yield lambda name, of=None: getattr(figures, name)(of or result)
    plt.close("all")


DRAWN = ("scores", "learning_curves", "loss_curves", "rates", "cost")


def panels_of(figure, result):
    """The panels of a figure by the optimizer's name in the study."""
    full = {short: name for name, short in result.analysis.names.items()}
    return {full[axis.get_title()]: axis for axis in figure.axes if axis.axison}


def colour_of(result, name):
    return series_style(result.spec.optimizers.index(name))["color"]


def legend_of(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


# --- the forest plot ---


def test_a_forest_row_is_the_pair_s_difference_with_its_interval(result):
    found, panel = result.analysis, figures.forest_panel(result)
    order = list(found.summary["name"])
    assert [result.spec.optimizers[place] for place in panel.style_indices] == order
    assert panel.names == [found.names[name] for name in order]
    assert (panel.line, panel.band) == (0.0, (-0.005, 0.005))
    means = found.summary.set_index("name")["score_mean"]
    (reference,) = [name for name, middle in zip(order, panel.middle, strict=True) if middle == 0]
    assert reference == found.leader
    assert panel.x_label == f"AP difference to {reference}, 95 % intervals; left of the band: worse"
    assert panel.middle == pytest.approx([means[name] - means[reference] for name in order])
    pairs = {frozenset((row["a"], row["b"])): row for row in found.comparisons.to_dict("records")}
    for name, low, high, note in zip(order, panel.low, panel.high, panel.notes, strict=True):
        assert note.startswith(f"AP {means[name]:.3f}")
        if name == reference:
            assert np.isnan([low, high]).all()
            continue
        pair = pairs[frozenset((name, reference))]
        assert high - low == pytest.approx(pair["high"] - pair["low"], nan_ok=True)
        assert np.isnan(low) == (name in ("sgd", "adadelta", "adam"))
        assert np.isnan(low) or low < means[name] - means[reference] < high
        assert ("1 of 3 tunings collapsed: no interval" in note) == np.isnan(low)
        assert ("too unstable to place" in note) == (np.isnan(low) and name in found.best)
        assert ("may be the best" in note) == (not np.isnan(low) and name in found.best)
        assert ("p " in note) == (pair["t_p_adjusted"] == pair["t_p_adjusted"])


def test_the_only_one_that_may_be_best_is_the_best(make_spec):
    spec = make_spec(optimizers=["sgd", "adam"], trials=4, seeds=3, tunings=4, name="clear")
    panel = figures.forest_panel(result_of(spec, *tuned(spec)))
    assert panel.notes[0].endswith(", the best")
    assert panel.names[0] == "adam"
    assert panel.high[1] < -0.005
    assert panel.notes[1].endswith("p < 0.001")


def test_a_failed_run_is_named_where_there_is_no_interval(make_spec):
    spec = make_spec(optimizers=["sgd", "adam"], trials=4, seeds=2, tunings=3, name="failed")
    panel = figures.forest_panel(result_of(spec, *tuned(spec, fates={("confirm", "sgd", 1001): Status.FAILED})))
    assert "\n1 run failed, counted as AP 0: no interval" in panel.notes[panel.names.index("sgd")]


def test_an_unstable_leader_is_no_reference_while_another_may_be_best(spec):
    shaky = [(name, 1) for name in SIX if name != "adagrad"]
    panel = figures.forest_panel(result_of(spec, *tuned(spec, collapsed=shaky)))
    assert panel.x_label.startswith("AP difference to adagrad, 95 % intervals;")
    assert panel.middle[0] > 0
    every = figures.forest_panel(result_of(spec, *tuned(spec, collapsed=[(name, 1) for name in SIX])))
    assert every.x_label == "AP difference to adam (it collapsed or failed in a tuning: no intervals); " + (
        "left of the band: worse"
    )
    assert np.isnan(every.low).all()
    assert not any("too unstable" in note for note in every.notes)


def test_without_a_comparison_there_is_no_forest(spec, make_spec):
    records, curves = tuned(spec)
    assert figures.forest_panel(result_of(spec, *tuned(spec, scale=0.0))) is None, "at chance"
    assert figures.forest_panel(result_of(spec, records[records["phase"] == "tune"], curves)) is None
    one = make_spec(optimizers=SIX, trials=2, seeds=2, tunings=1, name="one")
    assert figures.forest_panel(result_of(one, *tuned(one))) is None, "the luck of tuning is unknown"
    alone = make_spec(optimizers=["adam"], trials=2, seeds=2, tunings=3, name="alone")
    assert figures.forest_panel(result_of(alone, *tuned(alone))) is None


# --- the others ---


def test_every_confirm_trial_is_a_mark_where_it_scored(result, drawn):
    (axis,) = drawn("scores").axes
    offsets = [marks for marks in axis.collections if len(marks.get_offsets()) and len(marks.get_sizes())]
    shown = sorted(round(float(x), 9) for marks in offsets for x, _ in marks.get_offsets())
    seeds = result.analysis.seeds
    assert shown == pytest.approx(sorted(seeds["ap_counted"].round(9)))
    order = list(result.analysis.summary["name"])
    assert [label.get_text() for label in axis.get_yticklabels()] == order
    for marks in offsets:
        rows = {round(float(y)) for _, y in marks.get_offsets()}
        assert len(rows) == 1
        assert to_hex(marks.get_edgecolor()[0]) == colour_of(result, order[rows.pop()]).lower()
    hollow = sum(len(marks.get_offsets()) for marks in offsets if to_hex(marks.get_facecolor()[0]) == to_hex("white"))
    complete = seeds["status"] == "complete"
    assert hollow == (complete & seeds["collapsed"]).sum() > 0
    assert "collapsed" in legend_of(axis.figure)
    assert "diverged or failed: AP 0" in legend_of(axis.figure)


def test_where_all_score_alike_the_scores_are_seen(make_spec):
    spec = make_spec(optimizers=["adam"], trials=1, seeds=1, tunings=1, name="alone")
    records, curves = tuned(spec)
    (axis,) = scores(result_of(spec, records, curves)).axes
    ap = records[records["phase"] == "confirm"]["ap"].iloc[0]
    low, high = axis.get_xlim()
    assert 0 < low < ap < high
    plt.close("all")


@pytest.mark.parametrize("budget", ["steps", "seconds"])
def test_curves_have_marks_at_true_evaluations_alone(make_spec, drawn, budget):
    spec = make_spec(optimizers=SIX, trials=4, seeds=2, tunings=3, steps=80, tune_steps=30, evaluations=4, name="c")
    if budget == "seconds":
        spec = spec.model_copy(update={"steps": None, "tune_steps": None, "seconds": 60.0, "tune_seconds": 20.0})
    result = result_of(spec, *tuned(spec, fates=FATES, collapsed=COLLAPSED))
    over = "step" if budget == "steps" else "train_seconds"
    curves, bands = result.curves.set_index("trial_id"), result.analysis.bands["ap"]
    figure = drawn("learning_curves", result)
    for name, axis in panels_of(figure, result).items():
        own = result.analysis.seeds[result.analysis.seeds["optimizer"] == name]
        colour = colour_of(result, name)
        lines = [line for line in axis.lines if line.get_color() == colour and len(line.get_xdata())]
        points = [line for line in lines if line.get_markersize() == 3.5 and len(line.get_xdata()) == 1]
        marked = [line for line in lines if line.get_marker() not in ("None", "x") and line not in points]
        runs = [line for line in lines if line.get_marker() == "None"] + points
        evaluated = {trial: curves.loc[[trial]] for trial in own["trial_id"] if trial in curves.index}
        expected = sorted(tuple(rows[over]) + tuple(rows["ap"]) for rows in evaluated.values())
        shown = sorted((*line.get_xdata(), *line.get_ydata()) for line in runs)
        assert [*map(len, shown)] == [*map(len, expected)]
        assert np.concatenate(shown) == pytest.approx(np.concatenate(expected))
        learned = own[(own["status"] == "complete") & ~own["collapsed"]]
        assert sum(line.get_linestyle() == "-" for line in runs) == len(learned)
        (median,) = marked
        np.testing.assert_allclose(median.get_ydata(), bands["median"][bands["optimizer"] == name])
        if budget == "steps":
            assert {*median.get_xdata()} == {20, 40, 60, 80}
        left_out = len(own) - len(learned)
        said = [text.get_text() for text in axis.texts]
        assert said == ([f"{left_out} of 6 runs left out"] if left_out else [])
        assert axis.get_ylim()[0] < 0 < learned["ap"].max() < axis.get_ylim()[1]
    assert "left out: collapsed, diverged or failed (x)" in legend_of(figure)


def test_one_run_without_a_curve_hides_no_optimizer(make_spec, drawn):
    spec = make_spec(optimizers=["adam", "sgd"], trials=2, seeds=2, name="one")
    records, curves = tuned(spec)
    left = records[(records["phase"] == "tune") | (records["optimizer"] == "sgd")]
    figure = drawn("learning_curves", result_of(spec, left, curves[curves["trial_id"].isin(left["trial_id"])]))
    assert [axis.get_title() for axis in figure.axes if axis.axison] == ["sgd"]


def test_a_loss_that_exploded_does_not_rule_the_axis(spec, drawn):
    records, curves = tuned(spec, collapsed=[("sgd", 0)])
    first = curves["trial_id"].str.startswith(("confirm-sgd-0", "confirm-adam-0-1001")) & (curves["step"] == 20)
    curves.loc[first, "val_loss"] = 1e9
    axis = drawn("loss_curves", result_of(spec, records, curves)).axes[0]
    assert axis.get_ylim()[1] < 3


@pytest.mark.parametrize("broken", ["some diverged", "none diverged"])
def test_every_tune_trial_is_a_mark_at_its_rate(result, drawn, broken):
    if broken == "none diverged":
        records = result.records.replace({"status": {Status.DIVERGED: Status.FAILED}})
        result = result_of(result.spec, records, result.curves)
    figure = drawn("rates", result)
    found, panels = result.analysis.sensitivity, panels_of(figure, result)
    assert list(panels) == list(result.analysis.summary["name"])
    last = found["round"].max()
    hollow = Counter()
    for name, axis in panels.items():
        own = found[found["optimizer"] == name]
        marks = [marks for marks in axis.collections if len(marks.get_offsets())]
        shown = sorted(tuple(map(float, point)) for each in marks for point in each.get_offsets())
        assert np.array(shown) == pytest.approx(np.array(sorted(zip(own["rate"], own["ap"], strict=True))))
        for each in marks:
            hollow[name] += len(each.get_offsets()) * (to_hex(each.get_facecolor()[0]) == to_hex("white"))
        assert (
            hollow[name]
            == ((own["round"] < last) & (own["status"] == "complete")).sum() + own["status"].isin(FAULTS).sum()
        )
        diverged = (own["status"] == "diverged").sum()
        said = [text.get_text() for text in axis.texts]
        assert said == ([f"{diverged} of {len(own)} diverged"] if diverged else [])
        finalists = result.analysis.summary.set_index("name").loc[name, "finalists"]
        rates = [next(iter(own for key, own in each["settings"].items() if key in ("lr", "effective_lr")))
                 for each in finalists]  # fmt: skip
        dotted = [line.get_xdata()[0] for line in axis.lines if line.get_linestyle() == ":"]
        assert sorted(dotted) == pytest.approx(sorted(rates))
    assert len({axis.get_ylim() for axis in panels.values()}) == 1
    assert len({axis.get_xlim() for axis in panels.values()}) == 1
    told = {"failed: no AP", "searched range", "finalist's rate"}
    assert told | ({"diverged: no AP"} if broken == "some diverged" else set()) <= {*legend_of(figure)}


def test_panels_are_labelled_at_the_outer_edges_of_the_grid():
    titles = ["one", "two", "three", "four", "five", "six", "seven"]
    figure, panels = panel_grid(titles, ["", "below", *[""] * 5], x_label="along", y_label="up")
    assert [axis.get_title() for axis in panels] == titles
    assert [axis.get_xlabel() for axis in panels] == ["", "", "", "", "along", "along", "along"]
    assert [axis.get_ylabel() for axis in panels] == ["up", "", "", "up", "", "", "up"]
    assert [[text.get_text() for text in axis.texts] for axis in panels] == [[], ["below"], [], [], [], [], []]
    assert [axis.axison for axis in figure.axes] == [True] * 7 + [False] * 2
    shown = [any(label.get_visible() for label in axis.get_xticklabels()) for axis in panels]
    assert shown == [False] * 4 + [True] * 3
    assert tuple(figure.get_size_inches()) == pytest.approx((10.0, 8.1))
    plt.close(figure)


@pytest.mark.parametrize(
    ("panels", "grid"), [(1, (1, 1)), (2, (1, 2)), (3, (1, 3)), (4, (2, 2)), (5, (2, 3)), (9, (3, 3)), (10, (3, 4))]
)
def test_a_grid_is_about_as_wide_as_it_is_high(panels, grid):
    figure, axes = panel_grid([""] * panels, [""] * panels, x_label="", y_label="")
    (shape,) = {axis.get_subplotspec().get_gridspec().get_geometry() for axis in axes}
    assert shape == grid
    plt.close(figure)


def test_equal_costs_stand_at_one_place(result, drawn):
    records = result.records.assign(optimizer_step_ms=1.5)
    equal = result_of(result.spec, records, result.curves)
    (axis,) = drawn("cost", equal).axes
    marks = [marks for marks in axis.collections if len(marks.get_offsets())]
    assert [float(x) for each in marks for x, _ in each.get_offsets()] == [1.5] * 6
    names = {text.get_text() for text in axis.texts if text.get_text()}
    assert names == {*(f"{name} ({4 if name in ('sgd', 'nesterov', 'adagrad') else 8}.0 MB)" for name in SIX)}
    unmeasured = result.records.assign(optimizer_step_ms=np.nan)
    assert not figures.has_cost(result_of(result.spec, unmeasured, result.curves))


def test_nothing_is_drawn_of_a_study_that_has_only_begun(spec):
    records, curves = tuned(spec)
    begun = result_of(spec, records.iloc[:0], curves.iloc[:0])
    assert not any(getattr(figures, f"has_{name}")(begun) for name in DRAWN)


@pytest.mark.parametrize("name", DRAWN)
def test_figures_use_the_style_s_colours_alone(name, drawn):
    """So that a page can turn them for a dark background."""
    known = {to_hex(colour) for colour in (*COLOURS, INK, QUIET, "white")}
    figure = drawn(name)
    figure.draw_without_rendering()
    grid = _grid(figure)
    used = set()
    for artist in figure.findobj(Artist):
        if (isinstance(artist, Text) and artist.get_text()) or (isinstance(artist, Line2D) and artist not in grid):
            used.add(to_hex(artist.get_color()))
        elif isinstance(artist, Collection):
            used |= {to_hex(colour) for colour in (*artist.get_facecolor(), *artist.get_edgecolor())}
    assert used <= known


def _grid(figure):
    lines = [(*axis.get_xgridlines(), *axis.get_ygridlines()) for axis in figure.axes]
    return {line for own in lines for line in own}


@pytest.mark.parametrize("optimizers", [2, long(12)])
def test_figures_of_few_and_many_optimizers_have_a_panel_each(make_spec, drawn, optimizers):
    spec = make_spec(optimizers=["adam"], trials=2, seeds=2, tunings=2, name="many")
    names = [f"a.package.Own{number}" for number in range(optimizers)]
    spec = spec.model_copy(
        update={"optimizers": tuple(names), "spaces": {name: {"lr": {"log": [1e-5, 1e-1]}} for name in names}}
    )
    result = result_of(spec, *tuned(spec))
    for name in DRAWN:
        assert getattr(figures, f"has_{name}")(result)
        figure = drawn(name, result)
        if name not in ("scores", "cost"):
            assert {*panels_of(figure, result)} == {*names}
    assert len(figures.forest_panel(result).names) == optimizers


def test_an_optimizer_without_a_rate_has_no_panel_of_rates(result, drawn):
    records = result.records.copy()
    own = records["optimizer"] == "adam"
    records.loc[own, "hyperparameters"] = json.dumps({"momentum": 0.9})
    figure = drawn("rates", result_of(result.spec, records, result.curves))
    assert "adam" not in panels_of(figure, result)
    none = result_of(result.spec, records.assign(hyperparameters="{}"), result.curves)
    assert not figures.has_rates(none)
    assert isinstance(none.analysis.sensitivity, pd.DataFrame)
