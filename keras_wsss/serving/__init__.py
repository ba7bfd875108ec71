"""Trained runs as SavedModels, and clients for them."""
