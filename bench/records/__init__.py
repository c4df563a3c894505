"""Write to MLflow and read from it; no other folder imports MLflow.

In: finished trials, measurements and reports. Out: data frames and documents. Never decides which trials are run.
"""
