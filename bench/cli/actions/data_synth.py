"""Generates synthetic data sets, for `posebench data synth` and for studies without data; needs no PyTorch."""

from pathlib import Path

from bench.cli.output import progress_bar
from bench.storage.locks import path_lock
from posemodel.errors import DataError
from posemodel.synthetic import generate


def make(directory: Path, images: int, seed: int, *, num_workers: int | None) -> dict[str, int]:
    """Generate a synthetic set with a progress bar, or keep a complete one; returns images by split."""
    # Two studies that begin at the same time in one folder share the set, so they take turns.
    try:
        with path_lock(directory), progress_bar() as bar:
            task = bar.add_task(f"rendering {directory}", total=images)
            started = False

            def show(done: int, _total: int) -> None:
                nonlocal started
                if not started:
                    bar.reset(task, completed=done)  # images of an earlier run must not count for the speed
                    started = True
                bar.update(task, completed=done)

            return generate(directory, images=images, seed=seed, num_workers=num_workers, on_progress=show)
    except (FileExistsError, ValueError, RuntimeError) as error:
        raise DataError(str(error)) from error
