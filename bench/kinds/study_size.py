"""How much a study of any kind is, by the document of it that is stored."""

from collections.abc import Mapping
from typing import Any

from bench.kinds.loaders.spec import LOADERS
from bench.kinds.optimizers.settings import OPTIMIZERS
from bench.kinds.optimizers.size import Size
from bench.study.progress import PlanSize, StudySize


def size_of(document: Mapping[str, Any], planned: Mapping[str, int]) -> StudySize | None:
    """The size of a study; ``planned``: trials of each phase in the ledger. None: its kind has no ledger.

    SettingsError where the study is of another version.
    """
    kind = document.get("kind", OPTIMIZERS)  # earlier versions had no other
    if kind == LOADERS:
        return None
    return Size.of(document) if kind == OPTIMIZERS else PlanSize.of(document, planned)
