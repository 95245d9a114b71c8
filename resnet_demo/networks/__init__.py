"""What can be run: one family of residual networks a file, their cards and checkpoints."""
