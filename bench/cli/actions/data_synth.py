"""What `posebench data synth` does, and a study without data of its own: needs no PyTorch."""

from pathlib import Path

from bench.cli.output import progress_bar
from bench.storage.locks import path_lock
from posemodel.errors import DataError
from posemodel.synthetic import generate


def make(directory: Path, images: int, seed: int, *, num_workers: int | None) -> dict[str, int]:
    """Generate a synthetic set with a progress bar; a complete one is left as it is."""
    # Two studies that begin at once in one folder share the set; the lock file is no litter of theirs.
    try:
        with path_lock(directory), progress_bar() as bar:
            task = bar.add_task(f"rendering {directory}", total=images)
            started = False

            def show(done: int, _total: int) -> None:
                nonlocal started
                if not started:
                    bar.reset(task, completed=done)  # what was there already says nothing about the speed
                    started = True
                bar.update(task, completed=done)

            return generate(directory, images=images, seed=seed, num_workers=num_workers, on_progress=show)
    except (FileExistsError, ValueError, RuntimeError) as error:
        raise DataError(str(error)) from error
