"""Training runs: schedule, checkpoints, commands."""
