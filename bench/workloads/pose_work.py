"""The parts of the workload `pose` that import PyTorch, apart so that `pose.py` can be imported without it."""

from collections.abc import Mapping, Sequence
from typing import Any

from bench.measure.loader.pose_workload import PoseWorkload
from bench.settings.layers import Setting
from bench.workloads.pose_costs import measure_costs
from bench.workloads.pose_data import find_data, probe_data
from bench.workloads.pose_training import train_pose
from bench.workloads.pose_weights import check_networks, check_weights, settle
from bench.workloads.protocol import FoundData, MakeData, OnOpen
from posemodel.config import TrainSettings
from posemodel.device import choose_device
from posemodel.network import input_geometry


class PoseWork:
    """Implementations of the methods of `Pose`."""

    geometry = staticmethod(input_geometry)
    train = staticmethod(train_pose)
    probe = staticmethod(probe_data)
    measure = staticmethod(measure_costs)
    settle = staticmethod(settle)
    check_weights = staticmethod(check_weights)

    @staticmethod
    def find(settings: Mapping[str, Setting], make_data: MakeData | None, on_open: OnOpen | None = None) -> FoundData:
        """Find the data set, see `find_data`; SettingsError if a network does not fit its skeleton."""

        def opened(splits: Sequence[Any]) -> None:
            check_networks(settings, splits[0].skeleton)
            if on_open is not None:
                on_open(splits)

        return find_data(settings, make_data, opened)

    @staticmethod
    def load(run: TrainSettings) -> PoseWorkload:
        """Return the samples and the training step of a run, for loader measurements."""
        device = choose_device(run.device).type
        return PoseWorkload(
            run.data, run.network, run.size, device=device, skip_bad=run.skip_bad, files=run.files, exif=run.exif
        )
