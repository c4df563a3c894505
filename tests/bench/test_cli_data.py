"""`posebench data stats` and an interrupted `posebench data synth`, as somebody at a terminal uses them."""

import json
import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import cv2
import matplotlib.pyplot as plt
import numpy as np
import pytest

from bench.cli.actions.data import _skeleton_lines, _stats_rows
from bench.report import data_figure
from posemodel.data.stats import QUANTILES, VIEWS, Tally
from posemodel.skeleton import Skeleton
from tests.support.commands import COMMANDS


def test_stats_print_and_draw_each_split(posebench, tiny, hermetic):
    code, out, err = posebench("data", "stats", tiny)
    assert code == 0, err
    for text in (
        "train",
        "select",
        "val",
        "total",
        "images of 3 or more people",
        "people cut by the border",
        "left wrist",
    ):
        assert text in out
    figure = hermetic / "data-stats-tiny.png"
    assert "data-stats-tiny.png" in out
    pixels = cv2.imread(str(figure))
    assert pixels.shape[0] > 800
    assert pixels.std() > 10  # something is drawn
    assert [path.name for path in hermetic.iterdir()] == [figure.name]


def tally(sizes, people, heights=(), visibility=(), cut=(), views=(), **counts):
    return Tally(
        np.array(sizes),
        np.array(people),
        np.array(heights, dtype=float),
        np.array(visibility, dtype=int).reshape(-1, 2),
        np.array(cut, dtype=bool),
        np.array(views, dtype=int),
        **{"unlabelled": 0, "crowds": 0, "crowds_rle": 0} | counts,
        keypoints=("nose", "tail"),
    )


def test_stats_are_a_row_for_each_figure_with_a_cell_for_each_split():
    crowded = tally(
        [[64, 48], [32, 32], [64, 48], [8, 8]],
        [0, 3, 1, 0],
        [0.1, 0.2, 0.3, 0.4],
        [[2, 1], [2, 0], [2, 2], [0, 1]],
        [1, 0, 0, 0],
        [0, 0, 1, 3],
        unlabelled=5,
        crowds=2,
        crowds_rle=1,
    )
    empty = tally([[10, 20]], [0])
    pairs = tally([[10, 20], [30, 30]], [2, 0], [0.5, 0.5], [[1, 1], [1, 1]], [1, 1], [2, 2])
    heights = zip(QUANTILES, ("10.0", "11.5", "17.5", "25.0", "32.5", "38.5", "40.0"), strict=True)
    assert _stats_rows([crowded, empty, pairs], "people") == [
        ["images", "4", "1", "2"],
        ["people", "4", "0", "2"],
        ["people without keypoints", "5", "0", "0"],
        ["crowds", "2", "0", "0"],
        ["  crowds as RLE", "1", "0", "0"],
        ["images of 3 or more people", "25.0 %", "0.0 %", "0.0 %"],
        ["  images of 0", "50.0 %", "100.0 %", "50.0 %"],
        ["  images of 1", "25.0 %", "0.0 %", "0.0 %"],
        ["  images of 2", "0.0 %", "0.0 %", "50.0 %"],
        ["  images of 3", "25.0 %", "0.0 %", "0.0 %"],
        *[[f"height of people, {name}", f"{share} %", "-", "50.0 %"] for name, share in heights],
        ["joints visible", "4", "0", "0"],
        ["joints occluded", "2", "0", "4"],
        ["joints unlabelled", "2", "0", "0"],
        ["occluded, of labelled joints", "33.3 %", "-", "100.0 %"],
        ["people cut by the border", "25.0 %", "-", "100.0 %"],
        ["seen from: front", "50.0 %", "-", "0.0 %"],
        ["seen from: back", "25.0 %", "-", "0.0 %"],
        ["seen from: side", "0.0 %", "-", "100.0 %"],
        ["seen from: unknown", "25.0 %", "-", "0.0 %"],
        ["image sizes (most common)", "64x48 (2), 32x32 (1) and 1 more", "10x20 (1)", "10x20 (1), 30x30 (1)"],
    ]


def test_views_of_objects_are_rows_only_where_some_are_known():
    unknown = tally([[8, 8]], [1], [0.5], [[1, 1]], [0], [3])
    side = tally([[8, 8]], [1], [0.5], [[1, 1]], [0], [2])
    names = [[row[0] for row in _stats_rows(tallies, "objects")] for tallies in ([unknown], [unknown, side])]
    assert [name for name in names[0] if name.startswith("seen")] == []
    assert [name for name in names[1] if name.startswith("seen")] == [f"seen from: {view}" for view in VIEWS]


def test_a_skeleton_is_described_by_its_first_names():
    skeleton = Skeleton(
        name="hand",
        keypoints=tuple("abcdefg"),
        limbs=((0, 1),),
        mirror=(("a", "b"), ("c", "d")),
        sigmas=(0.1,) * 7,
    )
    assert _skeleton_lines(skeleton) == [
        "hand: 7 keypoints: a, b, c, d, e, f and 1 more",
        "  1 limb: a-b",
        "  2 mirror pairs: a/b, c/d",
        "  OKS sigmas: 0.1",
    ]


@pytest.mark.usefixtures("unrendered_figures")
def test_stats_as_json(posebench, tiny, hermetic):
    (hermetic / "figures").mkdir()
    code, out, err = posebench("data", "stats", tiny, "--out", "figures/shares.png", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert set(found) == {"splits", "total", "figure"}
    assert set(found["splits"]) == {"train", "select", "val"}
    assert found["figure"] == "figures/shares.png"
    assert (hermetic / "figures" / "shares.png").is_file()
    checked = json.loads(posebench("data", "check", tiny, "--json")[1])
    for name in ("images", "people", "crowds", "unlabelled"):
        assert found["total"][name] == checked[name] == sum(split[name] for split in found["splits"].values())


def test_stats_replace_their_own_figure_and_nobody_else_s(posebench, tiny, hermetic, monkeypatch):
    monkeypatch.setattr(data_figure, "DPI", 20)
    assert posebench("data", "stats", tiny, "--out", "shares.png")[0] == 0
    first = (hermetic / "shares.png").stat().st_ino
    assert posebench("data", "stats", tiny, "--out", "shares.png")[0] == 0
    assert (hermetic / "shares.png").stat().st_ino != first
    holiday = hermetic / "holiday.png"
    assert cv2.imwrite(str(holiday), cv2.imread(str(hermetic / "shares.png")))
    before = holiday.read_bytes()
    code, out, err = posebench("data", "stats", tiny, "--out", "holiday.png")
    assert code == 1
    assert "holiday.png" in err
    assert "--out" in err
    assert out == ""
    assert holiday.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("nowhere",), 1, "no such folder"),
        (("tiny", "--out", "shares.pdf"), 2, ".png"),
        (("tiny", "--out", "no/such/shares.png"), 2, "no such folder"),
    ],
)
def test_stats_name_what_is_wrong(posebench, tiny, hermetic, arguments, code, words):
    arguments = [tiny if argument == "tiny" else argument for argument in arguments]
    found, out, err = posebench("data", "stats", *arguments)
    assert (found, out) == (code, "")
    assert words in " ".join(err.split())
    assert not list(hermetic.rglob("*.png"))


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("workers", [0, 2])
def test_ctrl_c_keeps_what_is_done_and_the_same_command_goes_on(posebench, hermetic, workers):
    command = ("data", "synth", "set", "--images", "100", "--num-workers", str(workers))
    said = hermetic / "said"
    with said.open("w") as written, (hermetic / "out").open("w") as out, Path(os.devnull).open() as nothing:
        streams = {"stdin": nothing, "stdout": out, "stderr": written}
        process = COMMANDS.start(command, folder=hermetic, environment=os.environ, **streams)
    while len(list(hermetic.glob("set/images/*/*.jpg"))) < 5:
        assert process.poll() is None, said.read_text()
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to all of them
    code, err = process.wait(60), said.read_text()
    assert code == 130, err
    assert (hermetic / "out").read_text() == ""
    assert "the same command goes on" in err
    assert "Traceback" not in err
    first = {path.name: path.stat().st_ino for path in hermetic.rglob("*.jpg")}
    code, out, err = posebench(*command[:-1], "0")
    assert code == 0, err
    assert out == "set: 80 train, 10 select, 10 val\n"
    made_again = first.items() - {path.name: path.stat().st_ino for path in hermetic.rglob("*.jpg")}.items()
    assert len(made_again) <= max(workers, 1), "at most what each process had in hand and had not yet written down"


def test_image_sizes_of_all_splits_have_room():
    figure, axis = plt.subplots()
    sizes = {"train": [[100, 50], [640, 30]], "val": [[200, 480]]}
    data_figure._sizes(axis, {name: SimpleNamespace(sizes=np.array(each)) for name, each in sizes.items()})
    ends = (*axis.get_xlim(), *axis.get_ylim())
    plt.close(figure)
    assert ends == pytest.approx((0, 1.08 * 640, 0, 1.08 * 480))
