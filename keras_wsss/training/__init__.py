"""Phases, losses, the training loop, caches and checkpoints."""
