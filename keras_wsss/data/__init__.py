"""Readers, checks and pipelines: from files to batches."""
