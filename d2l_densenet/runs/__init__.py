"""A training run that survives: checkpoints, resuming, devices, workers, run directories."""
