"""The search for the largest batch that fits: on functions whose answer is known, and once for real."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.measure.loader.configuration import configuration
from bench.measure.loader.largest_batch import Try, largest_that_fits
from bench.measure.loader.measurement import Arm, Fault
from bench.measure.loader.measuring_process import MeasuringProcess
from bench.measure.loader.outcome import MeasurementStatus
from bench.measure.loader.workload import DatasetWorkload
from posemodel.errors import SettingsError
from tests.support.troubled_data import HoldingStep, Large


def machine(most, *, fault=MeasurementStatus.OUT_OF_MEMORY):
    """An attempt on a machine that takes batches up to ``most``."""

    def attempt(size):
        status = MeasurementStatus.COMPLETE if size <= most else fault
        return Try(configuration(batch_size=size), status, "" if size <= most else "too large")

    return attempt


def sizes(search):
    return [each.configuration.batch_size for each in search.tries]


def test_it_doubles_then_halves_between():
    found = largest_that_fits(machine(11))
    assert sizes(found) == [1, 2, 4, 8, 16, 12, 10, 11]
    assert (found.largest, found.limited) == (11, True)


def test_it_ends_at_the_limit_where_everything_fits():
    found = largest_that_fits(machine(10**9), start=3, limit=20)
    assert sizes(found) == [3, 6, 12, 20]
    assert (found.largest, found.limited) == (20, False)


def test_nothing_fits():
    found = largest_that_fits(machine(0))
    assert (found.largest, found.limited) == (None, True)
    assert sizes(found) == [1]


def test_a_first_size_that_is_too_large_is_halved():
    assert largest_that_fits(machine(5), start=16).largest == 5


@pytest.mark.parametrize("fault", [MeasurementStatus.SKIPPED, MeasurementStatus.BUS_ERROR])
def test_what_could_not_fit_counts_as_too_large(fault):
    assert largest_that_fits(machine(6, fault=fault)).largest == 6


@pytest.mark.parametrize("fault", [MeasurementStatus.FAILED, MeasurementStatus.TIMED_OUT])
def test_another_fault_says_nothing_about_memory_and_ends_the_search_with_what_has_fitted(fault):
    found = largest_that_fits(machine(3, fault=fault))
    assert (found.largest, found.limited, found.ended) == (2, False, "batch_size 4: too large")
    assert sizes(found) == [1, 2, 4]


def test_a_search_that_starts_above_its_limit_is_refused():
    with pytest.raises(SettingsError, match="cannot start at 9 and end at 4"):
        largest_that_fits(machine(3), start=9, limit=4)


@given(st.integers(1, 5000), st.integers(1, 64))
def test_what_it_finds_fits_and_is_within_a_twentieth(most, start):
    found = largest_that_fits(machine(most), start=start, limit=4096)
    largest = found.largest
    assert largest is not None
    assert largest <= most
    assert min(most, 4096) - largest <= max(1, 0.05 * largest)
    assert len(found.tries) <= 26


def test_a_real_search_gives_memory_back_between_tries():
    """Two samples take more than is allowed; one does not, also after the other try. The process itself takes 0.3 GB,
    and 0.6 GB as a copy of a process of tests.

    What is too large must last until it is seen; what is not, no longer than it has to.
    """
    workload = DatasetWorkload(Large(10), HoldingStep(800_000_000))

    def attempt(size):
        chosen = configuration(batch_size=size)
        with MeasuringProcess(workload, chosen, memory_limit_bytes=1_650_000_000) as living:
            try:
                living.start()
                living.started()
                living.slice(Arm.COMPUTE, 5 if size > 1 else 0.5)
            except Fault as fault:
                return Try(chosen, fault.status, fault.error)
        return Try(chosen, MeasurementStatus.COMPLETE)

    found = largest_that_fits(attempt, start=2, limit=2)
    assert sizes(found) == [2, 1]
    assert [each.status for each in found.tries] == [MeasurementStatus.OUT_OF_MEMORY, MeasurementStatus.COMPLETE]
    assert (found.largest, found.limited) == (1, True)
