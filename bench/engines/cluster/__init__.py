"""Run the trials of a study on the nodes of a Ray cluster (the extra `ray`).

In: trials that the study's own process has claimed. Out: their outcomes and their progress, for that process to record.
Never: the ledger or MLflow on a node. `crew` is the engine; `places` (Ray) and `trials` (ledger, MLflow) are the
study's side, `place` is Ray's side on a node, `nursery` and `serving` are the processes there that train.
"""
