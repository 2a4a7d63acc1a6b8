"""Run folders: settings, checkpoints, progress and metrics of a training."""
