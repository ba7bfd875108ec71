"""The steps that fit the system of a config."""

from keras_wsss.categories import Split
from keras_wsss.systems.prior.network import Prior
from keras_wsss.systems.prior.steps import PriorSteps
from keras_wsss.systems.transfernet.network import TransferNet
from keras_wsss.systems.transfernet.steps import SegmentationSteps
from keras_wsss.tagging import TagRule


def make_steps(
    net: TransferNet | Prior,
    split: Split,
    config,
    rule: TagRule | None = None,
) -> SegmentationSteps:
    """Steps for a trained network of either system; see their classes."""
    kind = PriorSteps if config.system == "prior" else SegmentationSteps
    return kind(net, split, config, rule)
