"""What TransferNet cannot do with a config, without building anything."""

from collections.abc import Sequence

from keras_wsss.config import Config
from keras_wsss.data import formats
from keras_wsss.encoders import get_encoder
from keras_wsss.encoders.encoder import Encoder, Level
from keras_wsss.systems.problems import encoder_problems, resize_problems
from keras_wsss.systems.system import Phase


def problems(config: Config, phase: Phase) -> list[str]:
    """Sentences about fields that do not go together.

    Ranges of single fields are not looked at here.

    Args:
        config: a config of this system.
        phase: a phase of it.
    """
    group = config.phases[phase.name]
    found = _image_problems(config)
    if config.model.judge == "tagger" and config.train.absent_per_image:
        found.append(
            "config.train.absent_per_image asks for absent labels, which only "
            "config.model.judge='classifier' can answer; set it to 0 or "
            "change the judge."
        )
    needed = ["source"]
    if phase.target or group.target_pictures:
        needed.append("target")
    for domain in needed:
        if not group[f"{domain}_pictures"]:
            learns = "masks of source pictures"
            if domain == "target":
                learns = "target tags"
            elif not phase.mask_weight:
                learns = "tags of source pictures too"
            found.append(
                f"config.phases.{phase.name}.{domain}_pictures is 0, but "
                f"--phase {phase.name} learns from {learns}; give it a "
                "positive number."
            )
        found += formats.problems(config.data, domain)
    return found


def _image_problems(config: Config) -> list[str]:
    """Sentences about an encoder, sizes and a decoder that do not fit."""
    found = encoder_problems(config)
    if not found:
        encoder, size = get_encoder(config.model.encoder), config.image.size
        stride = encoder.stride
        if size % stride:
            near = max(stride, round(size / stride) * stride)
            found.append(
                f"config.image.size is {size}, which is no multiple of "
                f"{stride}, the stride of {encoder.name}; use {near}."
            )
        if text := levels_problem(encoder) or stride_problem(
            encoder.stride, encoder.levels, config.model.output_stride
        ):
            found.append(f"config.model.encoder: {text}.")
    return found + resize_problems(config)


def levels_problem(encoder: Encoder) -> str:
    """Why a decoder cannot use an encoder's levels, or "" if it can."""
    if not encoder.levels:
        return (
            "the decoder needs switches of pools or finer maps, and the "
            f"encoder '{encoder.name}' gives none; use one that does, such as "
            "vgg16"
        )
    # Coarse to fine, what is doubled or enlarged has to meet the next level.
    reached = encoder.stride
    for level in reversed(encoder.levels):
        if level.switches and level.stride != reached:
            return (
                f"the pools of the encoder '{encoder.name}' do not lead to "
                f"its stride of {encoder.stride}, so the decoder cannot undo "
                "them; use another one, such as vgg16"
            )
        if level.stride > reached or reached % level.stride:
            return (
                f"a level of the encoder '{encoder.name}' has the stride "
                f"{level.stride}, which does not divide {reached}; use "
                "another one, such as vgg16"
            )
        reached = level.undone
    return ""


def stride_problem(
    stride: int, levels: Sequence[Level], output_stride: int
) -> str:
    """Why a decoder cannot end at an output stride, or "" if it can.

    Args:
        stride: of the encoder.
        levels: of the encoder, the finest first.
        output_stride: of the mask logits.
    """
    undone = [level.undone for level in levels]
    end = min([stride, *(s for s in undone if s >= output_stride)])
    if end % output_stride == 0:
        return ""
    return (
        f"the decoder ends at stride {end}, which an output stride of "
        f"{output_stride} does not divide; set config.model.output_stride=1"
    )
