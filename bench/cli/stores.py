"""The stores of the studies of this working directory, as verbs ask for them before anything else."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.cli.actions.stores import StoreChecks


def stores() -> "StoreChecks":
    """What a verb asks of the stores; to be asked before libraries are loaded, which takes seconds."""
    from bench.cli.actions.stores import StoreChecks, study_paths  # SQLAlchemy takes 0.3 s; the help does without

    return StoreChecks(study_paths())
