"""Streams (IterableDataset): read again and again, seeded by worker, told whether workers share or repeat them."""

import json
from dataclasses import asdict
from itertools import chain, islice

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data.datapipes.iter import IterableWrapper

from bench.kinds.loaders.analysis.stream import NOT_COMPARED, stream_sentences
from bench.measure.loader import isolated
from bench.measure.loader.comparison import look_at_samples
from bench.measure.loader.configuration import configuration
from bench.measure.loader.outcome import MeasurementStatus, error_outcome
from bench.measure.loader.probe import probe
from bench.measure.loader.sharding import Part, Sharding, StreamLook, sharding_of
from bench.measure.loader.user_code import DottedDataset
from bench.measure.loader.workload import DatasetWorkload
from posemodel.errors import SettingsError
from tests.support import own_datasets as own
from tests.support.forking_process import forked_starts
from tests.support.long_tests import long

OWN = "tests.support.own_datasets"


@pytest.fixture
def forked():
    """Measuring processes are forked: what is tested is not their start."""
    with forked_starts(isolated):
        yield


def opened(make, *, batches, batch_size=4, workload=(), **settings):
    return DatasetWorkload(make, **dict(workload)).open_loader(
        configuration(batch_size=batch_size, **settings), batches
    )


def delivered(make, **options):
    return [batch[:, 0].tolist() for batch in opened(make, **options).loader]


# --- what is delivered ------------------------------------------------------------------------------------------------


def test_whoever_asks_is_told_of_each_sample_before_it_is_made():
    heard = []
    stream = DatasetWorkload(own.Plain).open_samples(heard.append)
    samples = stream.one_pass()
    assert heard == []
    next(samples)
    assert heard == [0]
    assert len([*samples]) == 39
    assert heard == [*range(41)], "the last one is found not to be there"


def test_a_stream_that_ends_is_begun_again():
    found = delivered(own.Plain, batches=25)
    assert [*chain(*found)] == [*range(40), *range(40), *range(20)]


@pytest.mark.parametrize(
    ("workers", "batches"),
    [(1, 7), (2, 7), *((3, batches) for batches in (1, 2, 7, 12))]
    + [long(workers, batches) for workers in (1, 2) for batches in (1, 2, 12)],
)
def test_an_epoch_has_as_many_batches_as_asked_for_whatever_the_workers(workers, batches):
    assert len(delivered(own.Numbers, num_workers=workers, batches=batches)) == batches


def test_workers_take_turns_each_with_its_share():
    assert delivered(own.Sharded, num_workers=2, batches=4) == [
        [0, 2, 4, 6],
        [1, 3, 5, 7],
        [8, 10, 12, 14],
        [9, 11, 13, 15],
    ]
    assert delivered(own.Plain, num_workers=2, batches=4) == [[0, 1, 2, 3]] * 2 + [[4, 5, 6, 7]] * 2


def test_persistent_workers_begin_each_epoch_anew():
    loader = opened(own.Sharded, num_workers=2, batches=3, persistent_workers=True).loader
    assert [batch.tolist() for batch in loader] == [batch.tolist() for batch in loader]
    loader._iterator._shutdown_workers()


@pytest.mark.parametrize(("method", "persistent"), [("fork", False), ("fork", True), long("spawn", True)])
def test_a_worker_init_fn_chooses_the_share_of_its_worker_and_the_length_of_epochs_can_be_set(method, persistent):
    """By the worker's data set, as PyTorch's documentation does it; the length also where workers outlive an epoch."""
    workload = {"worker_init_fn": own.set_range}
    settings = {"num_workers": 2, "persistent_workers": persistent, "start_method": method}
    found = opened(own.InRange, workload=workload, batches=2, **settings)
    assert [batch[:, 0].tolist() for batch in found.loader] == [[0, 1, 2, 3], [20, 21, 22, 23]]
    found.set_length(3)
    batches = iter(found.loader)
    assert [batch[0].item() for batch in batches] == [0, 20, 4]
    if persistent:
        batches._shutdown_workers()


def test_an_epoch_need_not_end():
    assert len(list(islice(iter(opened(own.Endless, batches=10**15).loader), 3))) == 3


def test_generators_are_set_by_seed_and_worker():
    def drawn(seed, workers):
        return torch.stack(
            list(opened(own.DrawnStream, workload={"seed": seed}, num_workers=workers, batches=2).loader)
        )

    assert torch.equal(drawn(3, 2), drawn(3, 2))
    assert not torch.equal(drawn(3, 2), drawn(4, 2))
    assert not torch.equal(*drawn(3, 2))
    assert torch.equal(drawn(3, 1), drawn(3, 0))


def test_a_data_pipe_with_a_sharding_filter_is_shared_as_dataloader_shares_it():
    def make():
        return IterableWrapper(range(40)).sharding_filter()

    found = opened(make, num_workers=2, batches=2).loader
    assert [batch.tolist() for batch in found] == [[0, 2, 4, 6], [1, 3, 5, 7]]


def test_what_is_delivered_is_not_to_be_compared():
    assert not opened(own.Plain, batches=1).comparable
    assert opened(own.Sound, batches=1).comparable
    assert opened(own.Plain, batches=1, num_workers=2, prefetch_factor=3).batches_in_flight == 6


def test_a_probe_needs_no_length(forked):
    found = probe(DatasetWorkload(own.Endless))
    assert found.status == MeasurementStatus.COMPLETE, found.error
    assert (found.value.sample_bytes, found.value.worker_error) == (24, "")


# --- what is wrong ----------------------------------------------------------------------------------------------------


def told(make, *, workers=0, batches=16):
    batches = iter(opened(make, batches=batches, num_workers=workers).loader)
    with pytest.raises(Exception) as caught:
        list(batches)
    if workers:
        batches._shutdown_workers()
    status, text = error_outcome(caught.value)
    assert status == MeasurementStatus.FAILED
    return text


@pytest.mark.parametrize(
    ("make", "workers", "text"),
    [
        (own.EmptyStream, 0, "the stream has no samples (__iter__ yielded none). Let it read a source that has some."),
        (own.EmptyStream, 1, "the stream has no samples (__iter__ yielded none). Let it read a source that has some."),
        (
            own.OneShard,
            2,
            "worker 1 of 2 has no samples: the stream has fewer parts than there are workers. Take fewer workers, or "
            "split it into more parts.",
        ),
        (
            own.ReadOnce,
            0,
            "its stream yields no sample when it is begun again. Let __iter__ begin a new pass each time.",
        ),
    ],
)
def test_a_stream_without_samples_is_told(make, workers, text):
    assert told(make, workers=workers) == f"--dataset {make.__name__}: {text}"


@pytest.mark.parametrize(
    ("make", "workers", "text"),
    [
        (
            own.BrokenStream,
            0,
            "sample 21 of the stream: __iter__ raised OSError: shard is truncated. Fix what it reads, or leave that "
            "sample out of the stream.",
        ),
        (
            own.BrokenStream,
            1,
            "sample 21 of the stream (in worker 0): __iter__ raised OSError: shard is truncated. If it can be read "
            "without workers, open files, connections and generators in each worker: in __iter__, or in a "
            "worker_init_fn (--worker-init MODULE:NAME); otherwise fix what it reads.",
        ),
        (
            own.BrokenNext,
            0,
            "sample 0 of the stream: __next__ raised ConnectionError: no route. Fix what it reads, or leave that "
            "sample out of the stream.",
        ),
        (
            own.NotIterated,
            0,
            "sample 0 of the stream: __iter__ raised TypeError: iter() returned non-iterator of type 'list'. Fix what "
            "it reads, or leave that sample out of the stream.",
        ),
    ],
)
def test_an_error_in_a_stream_names_option_position_and_remedy(make, workers, text):
    assert told(make, workers=workers) == f"--dataset {make.__name__}, {text}"


def test_samples_of_a_stream_that_cannot_be_joined_are_told_in_its_words():
    assert "Bring them to one shape in __iter__ (resize, crop, pad)" in told(own.RaggedStream)
    assert "sample 2: __iter__ yielded None, and DataLoader said: " in told(own.NonesStream)
    assert "Yield samples alone (leave out what cannot be read), or give --collate" in told(own.NonesStream)


def test_what_can_be_iterated_and_is_no_data_set_is_told_what_it_needs():
    with pytest.raises(SettingsError) as caught:
        DatasetWorkload(DottedDataset(f"{OWN}:BatchesOnly")).open_loader(configuration(), batches=1)
    assert str(caught.value) == (
        f"--dataset {OWN}:BatchesOnly: BatchesOnly is no map-style data set: it has no __len__ and no __getitem__. It "
        "needs __len__ and __getitem__(index), or, where it has an order only, the base class "
        "torch.utils.data.IterableDataset."
    )


# --- the look ---------------------------------------------------------------------------------------------------------


def looked(make, *, seconds=60.0, most_workers=2, **options):
    return look_at_samples(
        DatasetWorkload(make, **options), batch_size=4, most_workers=most_workers, seconds=seconds, stall_s=60.0
    )


@pytest.mark.parametrize(
    ("make", "options", "sharding"),
    [
        (own.Plain, {}, Sharding.WHOLE),
        (own.Sharded, {}, Sharding.BY_WORKER),
        (own.Endless, {}, Sharding.WHOLE),
        (own.EndlessSharded, {}, Sharding.BY_WORKER),
        (own.DrawnStream, {}, Sharding.WHOLE),
        (own.InRange, {}, Sharding.WHOLE),
        (own.InRange, {"worker_init_fn": own.set_range}, Sharding.BY_WORKER),
        (own.OneShard, {}, Sharding.BY_WORKER),
    ],
)
def test_streams_that_workers_share_and_that_they_repeat_are_told_apart(forked, make, options, sharding):
    found = looked(make, **options)
    assert found.error == ""
    assert (found.value.sharding, found.value.why) == (sharding, "")


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (own.OfItsOwn, "its samples differ on every pass"),
        (own.Constant, "all samples examined are the same"),
    ],
)
def test_what_a_look_cannot_tell_is_said(forked, make, why):
    assert (looked(make).value.sharding, looked(make).value.why) == (Sharding.UNKNOWN, why)


def test_one_worker_is_no_question_and_samples_are_looked_at_all_the_same(forked):
    assert looked(own.Plain, most_workers=1).value == StreamLook(40, True)
    assert looked(own.BrokenStream).error == (
        "--dataset BrokenStream, sample 21 of the stream: __iter__ raised OSError: shard is truncated. Fix what it "
        "reads, or leave that sample out of the stream."
    )
    assert looked(own.EmptyStream).error == (
        "--dataset EmptyStream: the stream has no samples (__iter__ yielded none). Let it read a source that has some."
    )


@given(st.integers(1, 60), st.integers(1, 30), st.booleans(), st.booleans())
def test_passes_are_told_apart_whether_they_are_read_to_their_end_or_not(length, most, strided, whole):
    samples = list(range(length))
    shares = [samples, samples] if whole else [samples[::2], samples[1::2]] if strided else [samples[:9], samples[9:]]
    parts = [Part(tuple(share[:most]), len(share) <= most) for share in shares]
    found, why = sharding_of(StreamLook(min(length, most), length <= most), parts)
    if min(length, most) > 1:
        assert (found, why) == (Sharding.WHOLE if whole else Sharding.BY_WORKER, "")


@pytest.mark.parametrize(
    ("alone", "one", "other", "sharding", "why"),
    [
        (StreamLook(6, True), ((1, 2, 3), True), ((4, 5, 6), True), Sharding.BY_WORKER, ""),
        (StreamLook(4, True), ((7, 7), True), ((7, 7), True), Sharding.BY_WORKER, ""),
        (StreamLook(3, True), ((7, 7, 7), True), ((7, 7, 7), True), Sharding.WHOLE, ""),
        (StreamLook(3, True), ((7, 8, 9), True), ((1, 2, 3), True), Sharding.WHOLE, ""),
        (StreamLook(9, False), ((1, 2), True), ((1, 2, 3), True), Sharding.WHOLE, ""),
        (StreamLook(9, True), ((1, 2), True), ((1, 2), False), Sharding.WHOLE, ""),
        (StreamLook(9, True), ((), False), ((1, 2), False), Sharding.BY_WORKER, ""),
        (StreamLook(9, True), ((1, 2), False), ((), False), Sharding.BY_WORKER, ""),
        (
            StreamLook(9, False),
            ((1, 1), False),
            ((1, 1, 1), False),
            Sharding.UNKNOWN,
            "all samples examined are the same",
        ),
        (
            StreamLook(9, False, repeatable=False),
            ((1, 2), False),
            ((3, 4), False),
            Sharding.UNKNOWN,
            "its samples differ on every pass",
        ),
        (
            StreamLook(9, False),
            ((1, 2), False),
            ((2, 3), False),
            Sharding.UNKNOWN,
            "two workers delivered only some samples in common",
        ),
        (StreamLook(9, False), ((1, 2), False), ((3, 4), False), Sharding.BY_WORKER, ""),
    ],
)
def test_what_two_workers_have_read_is_told_apart(alone, one, other, sharding, why):
    assert sharding_of(alone, [Part(*one), Part(*other)]) == (sharding, why)


# --- what is said -----------------------------------------------------------------------------------------------------


def said(found, most_workers):
    """Of a look, as a study keeps it."""
    return stream_sentences("my:Data", json.loads(json.dumps(asdict(found))), most_workers)


def test_the_sentence_says_how_often_a_sample_comes_and_what_to_do():
    assert said(StreamLook(9, True, Sharding.WHOLE, ""), 8) == [
        "Each of 8 workers delivers the whole stream of my:Data: every sample comes 8 times. Speeds count repeated "
        "samples too. Let __iter__ yield its worker's share alone (torch.utils.data.get_worker_info(): "
        "itertools.islice(samples, info.id, None, info.num_workers)), or choose the share in a worker_init_fn "
        "(--worker-init MODULE:NAME).",
        NOT_COMPARED,
    ]
    assert said(StreamLook(9, True, Sharding.BY_WORKER, ""), 8)[0] == (
        "The stream of my:Data is sharded by worker: every sample comes once."
    )
    assert "(nobody knows): if each" in said(StreamLook(9, True, why="nobody knows"), 2)[0]
    assert said(StreamLook(9, True), 1) == [NOT_COMPARED]
