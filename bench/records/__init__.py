"""MLflow, in and out. In: trials, measurements and reports as they end; out: frames and documents.

The only place that imports MLflow. Never decides what is run.
"""
