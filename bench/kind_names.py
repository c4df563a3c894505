"""The registry of the kinds of study: one line each."""

PLANNED: dict[str, str] = {
    "joint": "bench.kinds.joint",
}
"""Kinds whose trials are planned in the ledger, and the module that puts each together; "" where `bench.trials.NAME`
and `bench.analysis.NAME` say all."""

KINDS = ("optimizers", "loaders", *PLANNED)
