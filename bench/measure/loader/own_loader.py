"""A user's own loader as a workload: the step of another workload, on the batches of that loader."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch.utils.data import DataLoader

from bench.measure.loader.batch_contents import batch_images
from bench.measure.loader.configuration import LoaderConfiguration
from bench.measure.loader.error_texts import quoted, sample_kind
from bench.measure.loader.loop import Step
from bench.measure.loader.outcome import SampleError, is_lack_of_memory
from bench.measure.loader.pose_workload import PoseWorkload
from bench.measure.loader.user_code import DottedLoader
from bench.measure.loader.workload import OpenLoader, Workload, effective_pin_memory
from posemodel.data.batch import Batch


@dataclass(frozen=True)
class OwnLoaderWorkload:
    """The step of ``other`` on the batches of a user's own loader.

    The loader is called with batch_size, num_workers and pin_memory of a configuration, as far as it accepts them.
    """

    other: Workload
    loader: DottedLoader

    @property
    def device(self) -> str:
        """Type of the device that steps run on."""
        return self.other.device

    def open_loader(self, configuration: LoaderConfiguration, batches: int) -> OpenLoader:  # noqa: ARG002
        """Open the loader, see `Workload`; the loader itself decides how many batches an epoch has.

        Raises SettingsError if it cannot be made.
        """
        make = partial(
            self.loader,
            batch_size=configuration.batch_size,
            num_workers=configuration.num_workers,
            pin_memory=effective_pin_memory(configuration),
        )
        wanted = Batch if isinstance(self.other, PoseWorkload) and self.other.step_s is None else object
        own = OwnBatches(make, f"--loader {self.loader.path}", wanted)
        return OpenLoader(
            own,
            lambda _epoch: None,
            batches_in_flight=own.batches_in_flight,
            reads_on=True,
            comparable=False,
            count_images=partial(batch_images, otherwise=configuration.batch_size),
        )

    def make_step(self) -> Step:
        """Make the step, see `Workload`. Its errors name the loader, whose batches may not fit the step."""
        step = self.other.make_step()

        def step_naming_loader(batch: Any) -> object:
            try:
                return step(batch)
            except (Exception, SystemExit) as error:
                if is_lack_of_memory(error):
                    raise
                raise SampleError(
                    f"--loader {self.loader.path}: the step raised {quoted(error)} on what the loader yields: "
                    f"{sample_kind(batch)}. Yield what the step takes."
                ) from error

        return step_naming_loader


class OwnBatches:
    """The batches of a user's own loader, each time it is iterated.

    A loader that can be iterated only once (a generator) is made again when it has ended.
    """

    def __init__(self, make: Callable[[], Any], name: str, wanted: type) -> None:
        """
        Args:
            make: Makes the loader.
            name: The loader's name in errors.
            wanted: Class of which its batches must be.
        """
        self.make, self.name, self.wanted = make, name, wanted
        self.loader = make()

    @property
    def batches_in_flight(self) -> int:
        """Number of batches that the loader reads ahead: its attribute of this name, or that of a PyTorch loader; 0 if
        unknown."""
        if isinstance(self.loader, DataLoader):
            return self.loader.num_workers * (self.loader.prefetch_factor or 0)
        stated = getattr(self.loader, "batches_in_flight", 0)
        return stated if isinstance(stated, int) else 0

    def __iter__(self) -> Iterator[Any]:
        for _ in range(2):
            yielded = False
            for batch in self._one_pass():
                if not isinstance(batch, self.wanted):
                    raise SampleError(
                        f"{self.name}: yields {sample_kind(batch)}; the COCO folder's step trains on "
                        f"{self.wanted.__module__}.{self.wanted.__qualname__}. Yield such batches, give --step-ms in "
                        "place of that step, or a data set and a step of your own (--dataset, --step)."
                    )
                yielded = True
                yield batch
            if yielded:
                return
            self.loader = self.make()
        raise SampleError(f"{self.name}: yields no batches. Let it return an iterable of batches.")

    def _one_pass(self) -> Iterator[Any]:
        """Yield the loader's batches until it ends."""
        count = 0
        try:
            for batch in self.loader:
                yield batch
                count += 1
        except (Exception, SystemExit) as error:
            if is_lack_of_memory(error):
                raise
            raise SampleError(
                f"{self.name}, batch {count}: iterating raised {quoted(error)}. Fix what it reads."
            ) from error
