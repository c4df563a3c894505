"""Benchmark optimizers, data loader settings and networks for pose estimation on this machine, with `posemodel`.

In: a study file, flags and environment variables. Out: records in MLflow, and reports whose claims have intervals.
Never: network, training or scoring code, which is in `posemodel`. `docs/architecture.md` lists the folders.
"""
