"""The steps that fit the system of a config."""

from keras_wsss.categories import Split
from keras_wsss.inference.prior_steps import PriorSteps
from keras_wsss.inference.steps import SegmentationSteps
from keras_wsss.models.prior import Prior
from keras_wsss.models.transfernet import TransferNet


def make_steps(
    net: TransferNet | Prior, split: Split, config
) -> SegmentationSteps:
    """Steps for a trained network of either system."""
    kind = PriorSteps if config.system == "prior" else SegmentationSteps
    return kind(net, split, config)
