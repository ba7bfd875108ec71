"""Keras layers: pooling with switches, label attention, refinement."""
