"""Pages and figures of made-up studies against what was looked at and kept: see `tests.support.kept`."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.kinds.joint.analysis import picks
from bench.kinds.joint.objectives import AP_AND_SPEED, AP_AT_TIME
from bench.kinds.loaders.report.page import loader_findings, study_info
from bench.kinds.networks.analysis import NetworkRun, network_findings
from bench.kinds.optimizers.compare import compare
from bench.kinds.optimizers.report.comparison import write_comparison
from bench.report.data_figure import draw_stats
from bench.report.findings_write import write_findings_report
from bench.report.markdown_page import short_text as short_findings
from bench.report.sample_figure import draw_sample
from bench.report.skeleton_figure import draw_skeleton
from bench.workloads.protocol import Samples
from posemodel.data.stats import join, tally
from posemodel.skeleton import COCO_PERSON
from posemodel.synthetic import render_image
from tests.bench.test_findings_report import FINDINGS, study
from tests.bench.test_report import DOCUMENT, FATES, SHEET, SIX, both_pages, odd_studies, result_of, write_report
from tests.bench.test_two_studies import noisy
from tests.bench.test_two_studies import study as two_seeds
from tests.support.joint_records import findings_of, info_of, made_up, with_fresh_seeds
from tests.support.keeping import hold
from tests.support.kept import described_figures
from tests.support.loader_results import loader_result, result_of_sizes
from tests.support.long_tests import long
from tests.support.tuned_records import tuned

__all__ = ["hold"]
KEPT = Path(__file__).with_name("kept")
VERSION = re.compile(r"posebench \d[\w.]*")


@pytest.fixture
def figures(monkeypatch):
    with described_figures(monkeypatch) as found:
        yield found


def together(figures, **texts):
    parts = [*texts.items(), *sorted(figures.items())]
    return "\n\n".join(f"==== {name}\n{VERSION.sub('posebench VERSION', text).strip()}" for name, text in parts)


def said(folder, *, without=("spec", "machine")):
    """The JSON document of a report; what settings there are is not this test's matter."""
    document = json.loads((folder / "result.json").read_text())
    return json.dumps({key: value for key, value in document.items() if key not in without}, indent=1)


def pages(folder):
    """The main page and the appendix."""
    return {name: (folder / f"{name}.md").read_text() for name in ("report", "appendix")}


def as_kept(text, folder):
    return text.replace(str(folder), "FOLDER")


@pytest.mark.parametrize("name", ["six", long("untuned")])
def test_an_optimizers_study(name, make_spec, figures, hold, tmp_path):
    if name == "six":
        spec = make_spec(
            optimizers=SIX, trials=8, seeds=2, tunings=3, steps=20, tune_steps=10, evaluations=4, name="six",
            target=0.3, controls=True,
        )  # fmt: skip
        found = result_of(spec, *tuned(spec, fates=FATES, diverge_from=10.0), Samples(DOCUMENT, SHEET))
    else:
        found = result_of(*next(odd[1:] for odd in odd_studies(make_spec) if odd[0] == name))
    write_report(found, tmp_path / "report")
    text = together(figures, page=both_pages(tmp_path / "report"), document=said(tmp_path / "report"))
    hold(KEPT / f"optimizers-{name}.txt", as_kept(text, tmp_path))


def test_findings_of_any_kind(figures, hold, tmp_path):
    write_findings_report(FINDINGS, study(), tmp_path / "report")
    text = together(figures, **pages(tmp_path / "report"), document=said(tmp_path / "report"))
    hold(KEPT / "findings.txt", as_kept(text, tmp_path))


@pytest.mark.parametrize("objective", [AP_AND_SPEED, AP_AT_TIME])
def test_a_joint_study(objective, figures, hold, tmp_path):
    records = with_fresh_seeds(made_up(40))
    rows = [
        {"objective": what, "scope": "all", "parameter": name, "importance": share, "chance": 0.1, "n": 30, "why": ""}
        for what in ("ap", "images_per_s")
        for name, share in (("optimizer", 0.6), ("batch_size", 0.3), ("num_workers", 0.08), ("lr", 0.02))
    ]
    command = "posebench train --data DIR --lr {lr:.3g}"
    commands = {pick.key: command.format(**pick.settings) for pick in picks(records, objective)}
    found = findings_of(records, objective, importances=pd.DataFrame(rows), train_commands=commands)
    write_findings_report(found, info_of(records), tmp_path / "report")
    text = together(figures, **pages(tmp_path / "report"), document=said(tmp_path / "report"))
    hold(KEPT / f"joint-{objective}.txt", as_kept(text, tmp_path))


@pytest.mark.parametrize(
    "name", ["loader-bound", *map(long, ("balanced", "memory-bound", "noisy", "different", "several sizes"))]
)
def test_a_loader_study(name, figures, hold, tmp_path):
    result = result_of_sizes() if name == "several sizes" else loader_result(name)
    found = loader_findings(result)
    page = write_findings_report(found, study_info(result), tmp_path / "report").read_text()
    texts = {
        "page": page,
        "appendix": (tmp_path / "report" / "appendix.md").read_text(),
        "short": short_findings(found, study_info(result)),
        "document": said(tmp_path / "report"),
    }
    hold(KEPT / f"loaders-{name.replace(' ', '-')}.txt", as_kept(together(figures, **texts), tmp_path))


def test_two_studies_side_by_side(figures, hold, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a figure is laid out for the names of folders, which must have one length
    rng = np.random.default_rng(5)
    for key, gaps in (("one", {}), ("two", {"sgd": 0.3})):
        (tmp_path / key).mkdir()
        records = two_seeds(noisy(rng, gaps=gaps)).assign(control_of="")
        if key == "one":
            records = pd.concat([records, records[records["optimizer"] == "adagrad"].assign(optimizer="adadelta")])
        records.to_csv(tmp_path / key / "records.csv", index=False)
        spec = {"tunings": 3, "network": "small", "size": 64, "schedule": {"one": "cosine", "two": "step"}[key]}
        document = {"study": key, "trials": {"recorded": 18, "planned": 20}, "spec": spec, "machine": {"cpu": key}}
        (tmp_path / key / "result.json").write_text(json.dumps(document))
    found = compare("./one", "./two", "sqlite:///none.db")
    page = write_comparison(found, tmp_path / "out").read_text()
    document = {key: value for key, value in found.document().items() if key not in ("a", "b")}
    text = together(figures, page=page, document=json.dumps(document, indent=1))
    hold(KEPT / "comparison.txt", as_kept(text, tmp_path))


def network_run(name, precision, ap, **changes):
    metrics = {
        "ap": ap,
        "val_loss": 1.0,
        "images_per_s": 40 / (1 + ap),
        "data_wait_share": 0.12,
        "gpu_memory_peak_bytes": 3.2e9,
    }
    given = {
        "network": name, "precision": precision, "status": "complete", "steps": 300, "learning_rate": 1e-3,
        "parameters": 4_100_000, "gmacs": 12.3, "size": 368, "metrics": metrics, "sheet": b"a picture", "wall_s": 70.0,
        "command": f"posebench train --network {name} --precision {precision}",
    }  # fmt: skip
    return NetworkRun(**(given | changes))


def test_networks_side_by_side(figures, hold, tmp_path):
    runs = [
        network_run("small", "fp32", 0.21),
        network_run("small", "bf16", 0.2, metrics={"ap": 0.2, "images_per_s": 66.0, "val_loss": 1.1}),
        network_run("lightweight", "fp32", 0.33),
        network_run("rtpose_vgg", "fp32", 0.0, status="out_of_memory", metrics={}, sheet=None),
    ]
    curves = pd.DataFrame(
        [
            {
                "network": run.network,
                "precision": run.precision,
                "train_seconds": step * 0.2,
                "ap": run.metrics["ap"] * step / 300,
                "val_loss": 2 - step / 300,
            }
            for run in runs[:3]
            for step in (100, 200, 300)
        ]
    )
    records = pd.DataFrame([{"status": run.status, "error": "", "trial_id": run.network} for run in runs])
    info = replace(info_of(records), name="networks", kind="networks")
    found = network_findings(runs, curves, terms="Each for 60 s.", seconds=60.0)
    write_findings_report(found, info, tmp_path / "out")
    table = (tmp_path / "out" / "runs.csv").read_text()
    assert (tmp_path / "out" / "small-bf16.jpg").read_bytes() == b"a picture"
    hold(KEPT / "networks.txt", as_kept(together(figures, **pages(tmp_path / "out"), table=table), tmp_path))


def test_a_data_set_s_figure(figures, hold, tmp_path):
    tallies = {}
    for split, first, count in (("train", 0, 30), ("val", 30, 12)):
        drawn = [render_image(np.random.default_rng([7, first + n]), size=(160, 120)) for n in range(count)]
        tallies[split] = tally(
            {
                "images": [{"id": n, "width": 160, "height": 120} for n in range(count)],
                "annotations": [found | {"image_id": n} for n, (_, every) in enumerate(drawn) for found in every],
                "categories": [{"id": 1, "name": "person"}],
            }
        )
    total = join([*tallies.values()])
    draw_stats(tallies, total, tmp_path / "stats.png", title="people")
    hold(KEPT / "stats.txt", together(figures, total=json.dumps(total.as_document(), indent=1)))


def test_a_sample_s_figure(figures, hold, tmp_path):
    rows, columns = np.indices((64, 64))
    image = np.stack([rows * 4, columns * 4, rows + columns], axis=-1).astype(np.uint8)
    people = np.zeros((1, 18, 3))
    people[0, :, 0], people[0, :, 1], people[0, :, 2] = np.linspace(8, 56, 18), np.linspace(50, 10, 18), 1
    mask = np.ones((8, 8), np.uint8)
    mask[5:, 6:] = 0
    at = np.arange(64, dtype=float).reshape(8, 8) / 64
    heatmaps = np.stack([np.roll(at, place, axis=1) for place in range(19)])
    pafs = np.stack([np.sin(at * 7 + place) * (at > 0.3) for place in range(38)])
    draw_sample(image, people, mask, heatmaps, pafs, tmp_path / "sample.png", title="one sample")
    hold(KEPT / "sample.txt", together(figures))


def test_a_skeleton_s_figure(figures, hold, tmp_path):
    """A person of whom the nose and one ear are not labelled."""
    columns = np.arange(18)
    person = np.stack([8 + 9 * (columns % 5), 70 - 7 * (columns // 2), np.full(18, 2)], axis=1).astype(float)
    person[[0, 16]] = 0
    image = np.stack([np.tile(np.arange(90, dtype=np.uint8), (80, 1))] * 3, axis=-1)
    draw_skeleton(image, person, COCO_PERSON, tmp_path / "skeleton.png", title="one person")
    hold(KEPT / "skeleton.txt", together(figures))
