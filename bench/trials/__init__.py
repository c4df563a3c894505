"""One module per kind of trial: TrialSpec -> Record. The only place where work happens."""
