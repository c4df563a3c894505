"""What a person's data set does that DataLoader, a worker or a comparison does not take: said in a line, with what to
give; and what workers make otherwise than one process does.
"""

import copy
import functools
import multiprocessing
import os
import sys
import threading

import numpy as np
import PIL.Image
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import get_worker_info

from bench.measure.loader.batch_contents import batch_bytes, batch_hash
from bench.measure.loader.comparison import compare_samples, look_at_samples
from bench.measure.loader.configuration import configuration
from bench.measure.loader.outcome import MeasurementStatus, error_outcome
from bench.measure.loader.probe import probe
from bench.measure.loader.user_code import DottedCollate, DottedDataset, DottedStep, DottedWorkerInit, stdout_to_stderr
from bench.measure.loader.workload import DatasetWorkload
from posemodel.errors import SettingsError
from tests.support import own_datasets as own

OWN = "tests.support.own_datasets"
COLLATE = "give --collate MODULE:NAME, a function of a list of samples that returns their batch"


def told(dataset, *, workers=0, batch_size=4, **options):
    """What a loader of the data set says when it fails."""
    workload = DatasetWorkload(lambda: dataset, **options)
    loader = workload.open_loader(configuration(batch_size=batch_size, num_workers=workers), batches=8).loader
    batches = iter(loader)
    with pytest.raises(Exception) as caught:
        list(batches)
    status, text = error_outcome(caught.value)
    if workers:
        batches._shutdown_workers()  # an error keeps them, and PyTorch waits seconds for forgotten ones
    assert status == MeasurementStatus.FAILED
    assert "\n" not in text
    return text


# --- samples and batches ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        (
            own.Returns(own.raised(OSError("image file is truncated\n(44 bytes)"))),
            "--dataset Returns, sample 5 of 32{worker}: __getitem__ raised OSError: image file is truncated. ",
        ),
        (
            own.Longer(),
            "--dataset Longer, sample 32 of 33{worker}: __getitem__ raised IndexError: list index out of range. Its "
            "__len__ returns 33; it must return the number of samples.",
        ),
        (own.Returns(own.raised(SystemExit(3))), "sample 5 of 32{worker}: __getitem__ called sys.exit(3). "),
        (own.Returns(own.raised(KeyError("label"))), "sample 5 of 32{worker}: __getitem__ raised KeyError: 'label'. "),
        (
            own.Returns(own.raised(RuntimeError("Cannot re-initialize CUDA in forked subprocess. To use CUDA with"))),
            "A worker cannot use the GPU: let the data set make CPU tensors, and move batches in the step",
        ),
        (own.AtOnce(), "samples 16, 5, 26, 15 of 32{worker}: __getitems__ raised KeyError: 'label'. "),
    ],
    ids=["raises", "longer than it is", "exits", "key", "cuda", "at once"],
)
def test_a_sample_that_cannot_be_made_is_named(dataset, words, workers):
    text = told(dataset, workers=workers)
    assert words.replace("{worker}", " (in a worker)" if workers else "") in text
    if workers and "Fix" not in words and "GPU" not in text and "sys.exit" not in text and "__len__" not in text:
        assert "open files, connections and generators in each worker" in text


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda index: torch.zeros(3, 32 + index % 3),
            "samples 0 and 10 do not fit together: they are of shape (3, 32) and of shape (3, 33); DataLoader said: "
            "RuntimeError: stack expects each tensor to be equal size",
        ),
        (
            lambda index: {"image": torch.zeros(3), "boxes": [np.zeros((1 + index % 2, 4))]},
            "samples 0 and 21 do not fit together: ['boxes'][0] is of shape (1, 4) and of shape (2, 4); ",
        ),
        (
            lambda index: {"image": torch.zeros(3)} | ({"mask": 1} if index != 10 else {}),
            "samples 0 and 10 do not fit together: ['mask'] is a int and not there; DataLoader said: KeyError",
        ),
        (
            lambda index: torch.zeros(1) if index != 7 else None,
            "sample 7: __getitem__ returned None, and DataLoader said: ",
        ),
        (
            lambda _: own.Sample(torch.zeros(1), "a"),
            f"sample 0: it is of class {OWN}.Sample, which cannot be joined into a batch; DataLoader said: TypeError: "
            f"default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found <class '{OWN}."
            "Sample'>. Return tensors, arrays, numbers, texts, and dicts and lists of them (here: a dict of image, "
            "name), or ",
        ),
        (
            lambda _: {"image": own.PICTURE, "label": 1},
            "sample 0: ['image'] is of class PIL.Image.Image, which cannot be joined",
        ),
        (lambda index: own.Pair(torch.zeros(1), None), "sample 0: [1] is of class NoneType, which cannot be joined"),
        (lambda index: np.array([None]), "(arrays of numbers, not of object)"),
        (lambda index: (each for each in "ab"), "sample 0: it is of class generator, which cannot be joined"),
    ],
    ids=["sizes", "nested", "keys", "none", "dataclass", "picture", "named tuple", "objects", "generator"],
)
def test_samples_that_cannot_be_joined_are_named_with_what_to_give(make, words, workers):
    text = told(own.Returns(make), workers=workers)
    assert text.startswith("--dataset Returns, sample")
    assert words in text
    assert COLLATE in text
    assert "torch.from_numpy(numpy.array(picture))" in text or "PIL" not in text


def broken_collate(samples):
    raise ValueError(f"{len(samples)} of them")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_collate_function_that_fails_is_named_with_what_it_gets(workers):
    text = told(own.Sound(), workers=workers, collate_fn=broken_collate)
    assert text == (
        "--dataset Sound, samples 0, 21, 10, 31: the collate function broken_collate raised ValueError: 4 of them. It "
        "gets a list of 4 samples (the first: tensor (3,)) and must return their batch."
    )
    named = told(own.Sound(), workers=workers, collate_fn=DottedCollate("tests.bench.test_own_datasets:broken_collate"))
    assert "the collate function tests.bench.test_own_datasets:broken_collate raised ValueError: 4 of them" in named


def test_tensors_of_an_unfinished_computation_are_refused_in_a_worker_and_no_matter_without():
    for options in ({}, {"collate_fn": list}):
        text = told(own.Graded(), workers=1, **options)
        assert "tensors require gradients, and workers cannot hand these over. Return them detached" in text
    opened = DatasetWorkload(own.Graded).open_loader(configuration(batch_size=2), batches=2)
    assert len(list(opened.loader)) == 2


class Holding:
    """A batch of one's own class, that holds something."""

    def __init__(self, tensor, held):
        self.tensor, self.held = tensor, held


def holding_lambda(samples):
    return Holding(torch.stack(samples), lambda: 1)


def holding_lock(samples):
    return {"image": torch.stack(samples), "lock": threading.Lock()}


def holding_text(samples):
    return Holding(torch.stack(samples), "a")


@pytest.mark.parametrize(
    ("collate", "words"),
    [
        (holding_lambda, "(tests.bench.test_own_datasets.Holding, made by the collate function holding_lambda)"),
        (holding_lock, "(dict of image, lock, made by the collate function holding_lock)"),
    ],
)
def test_a_batch_that_cannot_leave_its_worker_is_named_instead_of_waited_for(collate, words):
    samples = own.Sound()
    text = told(samples, workers=1, collate_fn=collate)
    assert text.startswith("--dataset Sound, samples 0, 21, 10, 31: a worker cannot hand over their batch ")
    assert f"{words}, since it cannot be pickled: " in text
    assert "or load without workers (num_workers 0)." in text
    opened = DatasetWorkload(lambda: samples, collate_fn=collate).open_loader(configuration(batch_size=4), batches=2)
    assert len(list(opened.loader)) == 2


def test_a_batch_of_one_s_own_class_leaves_its_worker_whole():
    workload = DatasetWorkload(own.Sound, collate_fn=holding_text)
    alone, sent = (
        list(workload.open_loader(configuration(batch_size=4, num_workers=workers), batches=2).loader)
        for workers in (0, 1)
    )
    assert [batch.held for batch in sent] == ["a", "a"]
    assert all(torch.equal(one.tensor, other.tensor) for one, other in zip(alone, sent, strict=True))


def ends_in_worker(index):
    if get_worker_info() is not None:
        os._exit(3)
    return index


def test_a_worker_that_ends_without_a_word_has_its_exit_code():
    text = told(own.Returns(ends_in_worker), workers=1)
    assert "exited unexpectedly (with exit code 3: by a C library or os._exit in __getitem__, or" in text


def test_lack_of_memory_is_no_fault_of_the_sample_s():
    workload = DatasetWorkload(lambda: own.Returns(own.raised(MemoryError("no more"))))
    with pytest.raises(MemoryError) as caught:
        list(workload.open_loader(configuration(batch_size=4), batches=8).loader)
    assert error_outcome(caught.value) == (MeasurementStatus.OUT_OF_MEMORY, "MemoryError: no more")


# --- what is no data set ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "Argued",
            "missing a required argument: 'root'. It is Argued(root: str, *, split: str = 'train') -> None; name a "
            f"class or function that needs no arguments: `def data(): return Argued(...)` in {OWN}, named as "
            f"--dataset {OWN}:data.",
        ),
        ("Leaves", "making it failed with SystemExit: 4"),
        ("NoLength", "NoLength is no map-style data set: it has no __len__. It needs __len__ and __getitem__(index)."),
        ("LENGTH", "int is no map-style data set: it has no __len__ and no __getitem__."),
        ("BadLength", "BadLength: its __len__ failed with FileNotFoundError: list.txt. It must return the number of"),
        ("Negative", "Negative: its __len__ failed with ValueError: __len__() should return >= 0."),
    ],
)
def test_what_is_no_data_set_is_told_with_what_to_give(name, words):
    with pytest.raises(SettingsError) as caught:
        DatasetWorkload(DottedDataset(f"{OWN}:{name}")).open_loader(configuration(), batches=1)
    assert str(caught.value).startswith(f"--dataset {OWN}:{name}: ")
    assert words in str(caught.value)


def test_a_module_that_is_a_program_does_not_end_the_command(hermetic, monkeypatch):
    (hermetic / "own_program.py").write_text("import sys\nsys.exit('usage: own_program FILE')\n")
    monkeypatch.syspath_prepend(hermetic)
    with pytest.raises(SettingsError, match="--dataset own_program:Data: SystemExit: usage: own_program FILE"):
        DottedDataset("own_program:Data")()
    with pytest.raises(SettingsError, match="--worker-init own_program:init: SystemExit"):
        DottedWorkerInit("own_program:init")(0)
    with pytest.raises(
        SettingsError, match=r"--worker-init .*:LENGTH: is a int; it must name a function of a worker's"
    ):
        DottedWorkerInit(f"{OWN}:LENGTH")(0)
    with pytest.raises(SettingsError, match=f"--step {OWN}:Leaves: making it failed with SystemExit: 4"):
        DottedStep(f"{OWN}:Leaves")()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (own.SharedFile, "Open files and connections in __getitem__, not in __init__; or leave this start method out"),
        (own.LOCAL, "Put a named function of a module, or functools.partial of one, in the lambda's place; or leave"),
        (
            functools.partial(own.Returns, own.raised(OSError("x"))),
            "Define that class or function at the top of a module, from which workers can import it; or leave",
        ),
        (multiprocessing.get_context("fork").Lock, ""),
    ],
    ids=["file", "lambda", "local", "lock"],
)
def test_what_cannot_be_sent_to_a_worker_is_told_with_what_to_do(make, words):
    if not words:
        make, words = functools.partial(own.Returns, make()), "keep what cannot be pickled out of the data set"
    settings = configuration(num_workers=1, start_method="spawn")
    with pytest.raises(SettingsError) as caught:
        DatasetWorkload(make).open_loader(settings, batches=1)
    assert "cannot be sent to a worker started by spawn: " in str(caught.value)
    assert words in str(caught.value)


def test_what_anybody_prints_meanwhile_is_on_stderr(capfd):
    print("before")
    with stdout_to_stderr():
        print("python")
        os.write(1, b"C library\n")
        os.system("echo program")
    print("after")
    out, err = capfd.readouterr()
    assert out.splitlines() == ["before", "after"]
    assert err.split() == ["python", "C", "library", "program"]


def test_a_process_without_stdout_has_nothing_to_keep_clean(monkeypatch, capfd):
    monkeypatch.setattr(sys, "stdout", None)
    with stdout_to_stderr():
        print("on stderr")
    assert capfd.readouterr() == ("", "on stderr\n")


# --- the look ---------------------------------------------------------------------------------------------------------


def looked(make, *, batch_size=4, stall_s=60.0, **options):
    return look_at_samples(DatasetWorkload(make, **options), batch_size=batch_size, seconds=60.0, stall_s=stall_s)


def test_all_samples_are_looked_at_and_each_is_the_same_again():
    found = looked(own.Sound)
    assert found.status == MeasurementStatus.COMPLETE
    assert len(set(found.value.hashes)) == own.LENGTH
    assert found.value.unlike is None


def test_a_sample_that_is_another_one_each_time_is_found():
    assert looked(own.Drawing).value.unlike == 0


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (own.Longer, "--dataset Longer, sample 32 of 33: __getitem__ raised IndexError"),
        (
            own.Ends,
            "--dataset Ends, sample 7: the measuring process ended with exit code 3 and without a result. Fix what "
            "ends the process there (a C library, os._exit), or leave that sample out.",
        ),
    ],
)
def test_a_sample_that_cannot_be_made_is_found_before_anything_is_measured(make, words):
    found = looked(functools.partial(make))
    assert found.status == MeasurementStatus.FAILED
    assert found.error.startswith(words.replace("--dataset Ends", "--dataset partial"))


def test_a_slow_sample_is_named_with_the_time_that_it_may_have():
    found = looked(functools.partial(own.Returns, functools.partial(slow_at, 3)), stall_s=3.0)
    assert found.status == MeasurementStatus.TIMED_OUT
    assert found.error == (
        "--dataset partial, sample 3: not made after 3 s. If it needs so long, raise stall_s in the study file, "
        "or POSEBENCH_STALL_S."
    )


def slow_at(at, index):
    if index == at:
        multiprocessing.Event().wait()
    return index


def ragged(index):
    return torch.zeros(1 + index % 2)


def test_samples_of_many_shapes_are_sound_in_batches_of_one():
    make = functools.partial(own.Returns, ragged)
    assert looked(make, batch_size=1).status == MeasurementStatus.COMPLETE
    assert "do not fit together" in looked(make, batch_size=2).error
    found = probe(DatasetWorkload(make), with_workers=False, least_batch=1)
    assert (found.error, found.value.step_sample_s) == ("", 0.0)
    assert "do not fit together" in probe(DatasetWorkload(make), with_workers=False, least_batch=2).error


def failing_step():
    return lambda batch: batch["image"]


def test_a_step_that_fails_is_named_with_what_it_gets():
    step = DottedStep("tests.bench.test_own_datasets:failing_step")
    assert probe(DatasetWorkload(own.Sound, step=step), with_workers=False).error == (
        "--step tests.bench.test_own_datasets:failing_step: the step raised IndexError: too many indices for tensor of "
        "dimension 2. It gets what the loader delivers: tensor (1, 3)."
    )


# --- what workers make ------------------------------------------------------------------------------------------------


class Told(list):
    """A progress that keeps what it is told."""

    __call__ = list.append


def compared(make, *, workers=2, reference=None, **options):
    workload = DatasetWorkload(make, seed=3, **options)
    known = reference or looked(make, **options).value.hashes
    progress = Told()
    settings = configuration(batch_size=8, num_workers=workers)
    found = compare_samples(progress, workload, settings, known, seconds=60.0, done=5)
    assert progress == list(range(6, 6 + len(progress)))
    return found


def test_workers_that_make_what_one_process_makes_are_compared_whole():
    reference = looked(own.Sound).value.hashes
    found = compared(own.Sound, reference=reference)
    assert (found.samples, found.different, found.first) == (own.LENGTH, 0, None)
    assert found.metrics() == {"compared_samples": 32.0, "different_samples": 0.0}


def test_a_file_that_forked_workers_share_is_seen():
    found = compared(own.SharedFile)
    assert found.samples == 200
    assert 0 < found.different <= 200
    assert found.metrics()["first_different_sample"] == found.first
    assert compared(own.SharedFile, workers=1).different == 0, "one worker shares it with nobody"


def test_a_file_that_each_worker_opens_is_sound():
    found = compared(own.OpenedInWorker, worker_init_fn=DottedWorkerInit(f"{OWN}:open_again"))
    assert (found.samples, found.different) == (200, 0)


def test_samples_that_depend_on_the_worker_are_all_others():
    found = compared(own.PerWorker)
    assert (found.samples, found.different, found.first) == (32, 32, 0)


# --- hashes of one's own classes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "same", "other"),
    [
        (own.Sample(torch.ones(2), "a"), own.Sample(torch.ones(2), "a"), own.Sample(torch.eye(2)[0], "a")),
        (own.Slots(torch.ones(2)), own.Slots(torch.ones(2)), own.Slots(torch.zeros(2))),
        (own.Returns(own.Sample(1, "a")), own.Returns(own.Sample(1, "a")), own.Returns(own.Sample(2, "a"))),
        (own.PICTURE, own.PICTURE.copy(), PIL.Image.new("RGB", (4, 2), "red")),
        ({"b", "a"}, {"a", "b"}, {"a", "c"}),
        (np.array(["2020"], "M8[D]"), np.array(["2020"], "M8[D]"), np.array(["2021"], "M8[D]")),
        (torch.eye(3).to_sparse(), torch.eye(3).to_sparse(), torch.zeros(3, 3).to_sparse()),
        (
            torch.ones(2).to(torch.float8_e5m2),
            torch.ones(2).to(torch.float8_e5m2),
            torch.zeros(2).to(torch.float8_e5m2),
        ),
        (object(), object(), own.Sound()),
    ],
    ids=["dataclass", "slots", "nested", "picture", "set", "dates", "sparse", "float8", "object"],
)
def test_a_hash_is_of_what_an_object_holds_and_not_of_where_it_lies(one, same, other):
    assert batch_hash([one]) == batch_hash([same]) != batch_hash([other])


def test_an_object_that_holds_itself_has_a_hash_and_bytes():
    round_about = own.Sample(torch.ones(4), "a")
    round_about.name = [round_about]
    assert batch_hash(round_about) == batch_hash(round_about)
    assert batch_bytes(own.Sample(torch.ones(4), "a")) == 16


@given(
    st.recursive(
        st.integers() | st.text() | st.binary(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_plain_values_have_the_hash_of_their_copies(value):

    assert batch_hash(value) == batch_hash(copy.deepcopy(value))
