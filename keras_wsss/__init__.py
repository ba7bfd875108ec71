"""Weakly supervised semantic segmentation for Keras 3 and TensorFlow.

Importing the package does not import TensorFlow; the modules that need it
(`layers`, `models`, `training`, `inference`) do when they are imported.
"""

__version__ = "0.1.0"
