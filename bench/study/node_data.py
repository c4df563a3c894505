"""Find a study's data on another machine, a node of a cluster, or make its synthetic set there."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from bench.study.begun_study import BegunStudy, with_data
from bench.study.kind import StudyKind
from bench.trials.study_base import StudyBase
from bench.workloads.pose_data import make_in
from posemodel.data.index_cache import cache_folder
from posemodel.errors import DataError, SettingsError

S = TypeVar("S", bound=StudyBase)


@dataclass(frozen=True)
class NodeData(Generic[S]):
    """Finds the data of one study wherever it is called; picklable."""

    kind: StudyKind[S]
    spec: S

    def __call__(self) -> Path:
        """Return the folder of the study's data on this machine.

        A synthetic set that is not there is made in the cache folder, with the same bytes.

        Raises SettingsError if this machine lacks the data, or has other data.
        """
        study: BegunStudy[Any] = BegunStudy(self.kind, self.spec, {}, False, frozenset(), 0)
        recorded = self.spec.data
        try:
            folder = None
            if not recorded.exists():
                folder = make_in(cache_folder() or Path.cwd(), recorded)
            spec: StudyBase = with_data(study, folder, None)
        except DataError as error:
            if recorded.exists():
                raise
            raise SettingsError(
                f"the data set {recorded} of study {self.spec.name} is not here. Put it at the same path on each node."
            ) from error
        return spec.data
