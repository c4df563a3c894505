"""Write a study's records (one flat row per trial) to MLflow and read them; no other folder imports MLflow.

In: finished trials, measurements and reports. Out: data frames and documents. Never decides which trials are run.
"""
