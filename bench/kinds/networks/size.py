"""The size of a study of networks, for displays: what its plan in the ledger says."""

from bench.study.progress import PlanSize

size_of = PlanSize.of
