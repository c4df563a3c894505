"""The registry of the kinds of study: one line each."""

PLANNED: dict[str, str] = {
    "joint": "bench.kinds.joint.kind",
}
"""Kinds whose trials are planned in the ledger, and the module that puts each together; "" where `trial` and
`analysis` in its folder say all."""

KINDS = ("optimizers", "loaders", *PLANNED)
