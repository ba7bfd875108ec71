"""Trained runs as SavedModels for TensorFlow Serving; `python -m export`."""
