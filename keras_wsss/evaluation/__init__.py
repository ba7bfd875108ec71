"""Metrics, baselines and result tables."""
