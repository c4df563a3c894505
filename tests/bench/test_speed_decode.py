"""The comparisons of decoding and of scoring: what they measure, not how fast it is."""

import json
from pathlib import Path

import numpy as np

from bench.speed import decode, evaluation
from posemodel.data.open_split import open_split
from posemodel.inference.decoder import decode as find_people
from posemodel.scoring.scorer import KeypointScorer
from posemodel.skeleton import COCO_PERSON


def test_decoding_is_compared_on_people_that_are_found(tiny_set: Path) -> None:
    rows = decode.measure(tiny_set, repeats=3)
    names = ["decode", "decode in batches", *(f"decode {number} people" for number in (1, 5, 20, 50))]
    assert [row.name for row in rows] == names
    assert [row.max_ratio for row in rows] == [0.45, *[None] * 5]
    first = rows[0].as_row()
    assert (first["images"], first["people"], first["threads"]) == (12, 18, 1)
    assert first["found"] == 18
    assert first["ap"] > 0.9
    assert first["parts_ms"].keys() == {"peaks", "limbs", "grouping"}
    assert [row.facts["people"] for row in rows[2:]] == [1, 5, 20, 50]
    assert all(row.facts["found"] >= row.facts["people"] for row in rows[2:5])
    json.dumps([row.as_row() for row in rows], allow_nan=False)


def test_a_crowd_stands_side_by_side(tiny_set: Path) -> None:
    split = open_split(tiny_set, "train").labelled_only()
    people = [split.people(position) for position in range(len(split))]
    placed = decode.crowd(people, 5)
    assert placed.shape == (5, 18, 3)
    place = decode.GEOMETRY.size / 3
    cells = [{tuple(cell) for cell in (person[:, :2] // place).astype(int).tolist()} for person in placed]
    assert cells == [{(0, 0)}, {(1, 0)}, {(2, 0)}, {(0, 1)}, {(1, 1)}]
    scene = decode._scene(placed, 0, split.skeleton)
    found = find_people(scene.heatmaps, scene.pafs, decode.GEOMETRY)
    assert len(found.people) == 5
    assert ((found.people[..., 2] > 0).sum(axis=1) == 18).all()


def test_scoring_is_compared_on_equal_figures() -> None:
    (row,) = evaluation.measure(images=60, repeats=3)
    assert (row.name, row.max_ratio, row.threads) == ("eval", 1.1, 1)
    assert row.facts["images"] == 60
    assert row.facts["equal_figures"] is True
    assert 0.1 < row.facts["ap"] < 0.9
    json.dumps(row.as_row(), allow_nan=False)


def test_the_people_to_score_are_of_every_kind() -> None:
    rng = np.random.default_rng(0)
    truth = evaluation.make_truth(300, rng)
    found = evaluation.make_detections(truth, rng)
    assert truth.crowd.any()
    assert (truth.ignored & ~truth.crowd).any()
    sides = np.sqrt(truth.areas[~truth.ignored])
    assert min((sides < 32).sum(), ((sides > 32) & (sides < 96)).sum(), (sides > 96).sum()) > 50
    scorer = KeypointScorer(truth, COCO_PERSON)
    for image in found:
        scorer.add(*image)
    scores = scorer.stats()
    assert None not in scores.as_row().values()
    assert len(scorer.results) > 0.7 * scores.people
