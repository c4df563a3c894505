"""What a loader study measures next, told from frames as measurements leave them."""

import numpy as np
import pandas as pd
import pytest

from bench.kinds.loaders.phases import AROUND, GRID, LARGEST
from bench.kinds.loaders.plan import ARM_BLOCKS, Contestant, around, comparison, ended_by, grid, next_block, spent_s
from bench.measure.loader.configuration import configuration
from tests.bench.test_loader_settings import spec
from tests.support.long_tests import long

SECONDS = {0: 1.0, 1: 0.8, 2: 0.5}
"""For an image, by the number of workers."""


def lives_of(block, status=lambda _each, _block: "complete", block_s=10.0):
    ran = {"effective_pin_memory": False, "device": "cpu", "memory_kind": "pss", "page_cache": "warm", "error": ""}
    figures = {"peak_memory_bytes": 1e8, "first_batch_s": 0.1, "epoch_gap_s": 0.1, "start_s": 0.5, "block_s": block_s}
    place = {"phase": block.panel.phase, "panel": block.panel.number, "block": block.number}
    lists = {"hashes": [], "wait_quantiles_ms": [0.0] * 101}
    return [
        {"id": block.id_of(each), **place, **each.row(), **ran, **figures, **lists, "status": status(each, block)}
        for each in block.contestants
    ]


def slices_of(block, speed=lambda each: 1 / SECONDS[each.configuration.num_workers], sd=0.01):
    """One slice of each arm and configuration; ``speed``: images/s of training."""
    rng = np.random.default_rng(block.number)
    place = {"phase": block.panel.phase, "panel": block.panel.number, "block": block.number}
    rows = []
    for arm, those in (("end_to_end", block.contestants), ("loader", block.arms), ("compute", block.computes)):
        for each in those:
            seconds = 100 / speed(each) * (1 + sd * rng.standard_normal()) * (1 if arm == "end_to_end" else 0.5)
            own = {"place": len(rows), "arm": arm, "batches": 25, "images": 100, "seconds": seconds, "cpu_s": seconds}
            parts = {"wait_s": 0.5 * seconds, "host_s": 0.5 * seconds, "compute_s": 0.5 * seconds, "others_share": 0.0}
            rows.append(place | each.row() | own | parts)
    return rows


def run(study, *, most=1000, status=lambda _each, _block: "complete", block_s=10.0, begun=(), **made):
    """Measure until nothing is left; returns the blocks and the frames. ``begun``: frames to go on from."""
    lives, slices = begun or (pd.DataFrame(), pd.DataFrame())
    blocks = []
    while len(blocks) < most and (block := next_block(study, lives, slices, pinning=False, cores=2.0)):
        assert block.contestants
        blocks.append(block)
        lives = pd.concat([lives, pd.DataFrame(lives_of(block, status, block_s))], ignore_index=True)
        slices = pd.concat([slices, pd.DataFrame(slices_of(block, **made))], ignore_index=True)
    return blocks, lives, slices


def workers_of(block):
    return [each.configuration.num_workers for each in block.contestants]


def test_the_grid_is_a_panel_for_each_batch_size_and_without_an_accelerator_nothing_is_pinned():
    study = spec(num_workers=(0, 1, 2), batch_size=(4, 8), pin_memory=(True, False))
    assert [len(panel.contestants) for panel in grid(study, pinning=True)] == [6, 6]
    found = grid(study, pinning=False)
    assert [{each.configuration.batch_size for each in panel.contestants} for panel in found] == [{4}, {8}]
    assert not any(each.configuration.pin_memory for panel in found for each in panel.contestants)


def test_a_loader_of_one_s_own_is_one_more_of_each_batch_size():
    study = spec(num_workers=(0, 2), batch_size=(4, 8), pin_memory=(True, False), loader="own:make")
    for panel in grid(study, pinning=True):
        own = panel.contestants[-1]
        assert (own.own_loader, own.configuration.num_workers, own.configuration.pin_memory) == ("own:make", 2, True)
        assert [each.own_loader for each in panel.contestants].count("own:make") == 1
        assert len({each.key for each in panel.contestants}) == len(panel.contestants)


def test_blocks_go_on_until_the_choice_is_settled_and_what_is_slower_drops_out():
    study = spec(num_workers=(0, 1, 2), min_blocks=4, blocks=28)
    blocks, lives, slices = run(study, sd=0.02)
    first = [workers_of(block) for block in blocks[:4]]
    assert first == [[0, 1, 2]] * 4
    assert 4 < len(blocks) < 28
    assert all(2 in workers_of(block) and 0 in workers_of(block) for block in blocks), "the fastest and the reference"
    assert ended_by(study, lives, slices, pinning=False, cores=2.0) == "settled"


def test_arms_are_measured_in_the_first_blocks_and_the_step_once():
    blocks, _, _ = run(spec(num_workers=(0, 1, 2)), sd=0.05, most=ARM_BLOCKS + 3)
    for block in blocks:
        known = block.number < ARM_BLOCKS
        assert len(block.arms) == (3 if known else 0)
        assert [each.configuration.num_workers for each in block.computes] == ([0] if known else [])


def test_without_a_step_there_is_one_arm():
    blocks, _, _ = run(spec(dataset="own:Data"), sd=0.02, most=6)
    assert not any(block.arms or block.computes for block in blocks)


def test_what_cannot_be_told_goes_on_to_the_last_block():
    """Two configurations whose difference is exactly the margin."""
    study = spec(num_workers=(0, 1), blocks=9)
    blocks, lives, slices = run(study, speed=lambda each: 1.0 if each.configuration.num_workers else 0.97, sd=0.02)
    assert len(blocks) == 9
    assert ended_by(study, lives, slices, pinning=False, cores=2.0) == "blocks"


def test_the_time_is_shared_between_batch_sizes_and_what_one_does_not_need_is_left_to_the_next():
    study = spec(num_workers=(0, 1), batch_size=(4, 8), minutes=3.0)
    blocks, lives, slices = run(study, speed=lambda _: 1.0, sd=0.2)
    numbers = [block.panel.number for block in blocks]
    assert numbers.count(0) == 9, "half of three minutes, in blocks of ten seconds"
    assert numbers.count(1) == 9
    assert spent_s(lives, slices) == 180
    assert ended_by(study, lives, slices, pinning=False, cores=2.0) == "time"
    quick, _, _ = run(
        study, speed=lambda each: 1.0 + each.configuration.num_workers * (each.configuration.batch_size == 4), sd=0.005
    )
    assert [block.panel.number for block in quick].count(0) < 9
    assert len(quick) * 10 <= 180


def test_more_minutes_go_on_where_a_study_has_ended():
    study = spec(num_workers=(0, 1), minutes=1.0)
    _, lives, slices = run(study, speed=lambda _: 1.0, sd=0.2)
    assert next_block(study, lives, slices, pinning=False, cores=2.0) is None
    longer = study.model_copy(update={"minutes": 2.0})
    assert next_block(longer, lives, slices, pinning=False, cores=2.0).number == 6
    assert "minutes" not in study.identity()


def test_one_setting_at_a_time_is_tried_around_the_best():
    study = spec(num_workers=(0, 1, 2), prefetch_factor=(4,), persistent_workers=(True,), cv2_threads=(0,))
    blocks, _, _ = run(study, speed=lambda each: 1 / SECONDS[each.configuration.num_workers], sd=0.005)
    last = blocks[-1]
    assert (last.panel.phase, last.panel.number) == (AROUND, 1)
    settings = [each.configuration for each in last.panel.contestants]
    best = configuration(batch_size=4, num_workers=2)
    assert settings[0] == best
    assert settings[-1] == configuration(batch_size=4), "PyTorch's defaults, which all are compared with"
    assert len(settings) == 5
    assert all(len({*each.model_dump().items()} ^ {*best.model_dump().items()}) == 2 for each in settings[1:-1])
    assert {block.panel.phase for block in blocks[:-1]} >= {GRID}


def test_around_the_defaults_no_setting_of_workers_is_tried():
    study = spec(prefetch_factor=(4,), persistent_workers=(True,), cv2_threads=(0, 1))
    panel = around(study, Contestant(configuration(batch_size=4)), 1)
    assert [each.configuration.cv2_threads for each in panel.contestants] == [1, 0]
    assert around(spec(prefetch_factor=(4,)), Contestant(configuration(batch_size=4)), 1) is None
    assert around(study, Contestant(configuration(batch_size=4, num_workers=2), "own:make"), 1) is None


@pytest.mark.parametrize("fault", ["failed", long("skipped"), long("out_of_memory")])
def test_what_has_failed_is_not_tried_again(fault):
    study = spec(num_workers=(0, 1, 2))
    blocks, _, _ = run(study, status=lambda each, _: fault if each.configuration.num_workers == 2 else "complete")
    assert workers_of(blocks[0]) == [0, 1, 2]
    assert {tuple(workers_of(block)) for block in blocks[1:]} == {(0, 1)}
    blocks, lives, _ = run(study, status=lambda *_: fault)
    assert len(blocks) == 1
    assert len(lives) == 3


def test_what_fails_in_a_later_block_is_out_and_keeps_nothing_open():
    study = spec(num_workers=(0, 1, 2))

    def status(each, block):
        return "failed" if block.number == 1 and each.configuration.num_workers == 2 else "complete"

    blocks, lives, slices = run(study, status=status, speed=lambda _: 1.0, sd=0.002)
    assert [workers_of(block) for block in blocks[:3]] == [[0, 1, 2], [0, 1, 2], [0, 1]]
    assert len(blocks) < 28
    assert ended_by(study, lives, slices, pinning=False, cores=2.0) == "settled"


def test_a_block_has_taken_as_long_as_its_last_process_said():
    place = {"phase": GRID, "panel": 0}
    lives = pd.DataFrame(
        [
            place | {"block": 0, "block_s": 4.0},
            place | {"block": 0, "block_s": 10.0},
            place | {"block": 1, "block_s": np.nan},
            place | {"block": 2, "block_s": np.nan},
            place | {"phase": LARGEST, "block": 0, "block_s": 100.0},
        ]
    )
    slices = pd.DataFrame([place | {"block": block, "seconds": 1.5} for block in (0, 1, 1)])
    assert spent_s(lives, slices) == 10.0 + 2 * 1.5
    assert spent_s(lives, slices.iloc[:0]) == 10.0
    assert spent_s(lives.iloc[:0], slices) == 0.0


def test_a_study_in_which_all_has_failed_did_not_end_settled():
    study = spec(num_workers=(0, 1))
    _, lives, slices = run(study, status=lambda *_: "failed")
    assert ended_by(study, lives, slices, pinning=False, cores=2.0) == ""


def test_another_best_than_before_has_a_panel_of_its_own():
    """More minutes may find another one."""
    study = spec(num_workers=(0, 1, 2), prefetch_factor=(4,), blocks=13)
    _, lives, slices = run(study, sd=0.005)
    other = lives["num_workers"].map({0: 0, 1: 2, 2: 1}), slices["num_workers"].map({0: 0, 1: 2, 2: 1})
    turned = [each.assign(num_workers=number) for each, number in zip((lives, slices), other, strict=True)]
    turned = [
        pd.concat([new[new["phase"] == GRID], old[old["phase"] == AROUND]])
        for new, old in zip(turned, (lives, slices), strict=True)
    ]
    block = next_block(study, *turned, pinning=False, cores=2.0)
    assert (block.panel.phase, block.panel.number, block.number) == (AROUND, 2, 0)
    assert block.contestants[0].configuration.num_workers == 1


def test_what_trained_faster_than_its_arms_allow_has_its_arms_again():
    """Settled as the choice is: nothing can be believed of it."""
    study = spec(num_workers=(0, 1), blocks=13)
    lives, slices = pd.DataFrame(), pd.DataFrame()
    blocks = []
    while (block := next_block(study, lives, slices, pinning=False, cores=2.0)) is not None:
        blocks.append(block)
        lives = pd.concat([lives, pd.DataFrame(lives_of(block))], ignore_index=True)
        rows = slices_of(block, sd=0.001)
        for row in rows:
            row["seconds"] *= 20 if row["arm"] == "loader" and row["num_workers"] == 1 else 1
        slices = pd.concat([slices, pd.DataFrame(rows)], ignore_index=True)
    assert len(blocks) == 13
    assert all([each.configuration.num_workers for each in block.arms] == [1] for block in blocks[4:])


def test_looks_and_pairs_are_fixed_by_the_settings():
    study = spec(num_workers=(0, 1, 2), batch_size=(4, 8), prefetch_factor=(2, 4), min_blocks=4, blocks=28)
    found = comparison(study, pinning=False, cores=2.0)
    assert found.looks[0] == 4
    assert found.looks[-1] == 28
    assert found.pairs == 3 + 3 + 6, "of two batch sizes, and of the best, its variants and the defaults"


def test_a_block_that_was_interrupted_is_not_made_again():
    """What it had finished counts; the next block is a new one."""
    study = spec(num_workers=(0, 1, 2))
    first = next_block(study, pd.DataFrame(), pd.DataFrame(), pinning=False, cores=2.0)
    lives, slices = pd.DataFrame(lives_of(first)[:2]), pd.DataFrame(slices_of(first)[:1])
    second = next_block(study, lives, slices, pinning=False, cores=2.0)
    assert second.number == 1
    assert workers_of(second) == [0, 1, 2]


def test_ids_tell_everything_apart():
    study = spec(num_workers=(0, 1, 2), batch_size=(4, 8), loader="own:make")
    blocks, lives, _ = run(study, sd=0.05, most=12)
    assert lives["id"].is_unique
    assert blocks[0].id_of(blocks[0].contestants[0]) == lives["id"].iloc[0]


def test_a_block_took_as_long_as_its_last_process_and_an_interrupted_one_its_slices():
    place = {"phase": GRID, "panel": 0}
    lives = [{**place, "block": 0, "block_s": each} for each in (8.0, 10.0, 9.0)]
    lives += [{**place, "block": 1, "block_s": float("nan")}, {**place, "block": 2, "block_s": None}]
    lives += [{"phase": "largest", "panel": 0, "block": 4, "block_s": 99.0}]
    slices = [{**place, "block": block, "seconds": 2.5} for block in (0, 1, 1)]
    assert spent_s(pd.DataFrame(lives), pd.DataFrame(slices)) == 10 + 5
    assert spent_s(pd.DataFrame(lives), pd.DataFrame()) == 10
    assert spent_s(pd.DataFrame(), pd.DataFrame()) == 0
