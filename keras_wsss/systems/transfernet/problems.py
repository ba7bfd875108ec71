"""What TransferNet cannot do with a config, without building anything."""

from keras_wsss.config import Config

ENCODERS = ("vgg16", "vgg_small")
STRIDE = 16  # of the encoder's features, pixels
_WITH_TARGET = ("attention", "transfer")


def problems(config: Config, phase: str) -> list[str]:
    """Sentences about fields that do not go together.

    Ranges of single fields are not looked at here.

    Args:
        config: a config of this system.
        phase: "attention", "decoder" or "transfer".
    """
    group = config.phases[phase]
    found = image_problems(config)
    if config.model.judge == "tagger" and config.train.absent_per_image:
        found.append(
            "config.train.absent_per_image asks for absent labels, which only "
            "config.model.judge='classifier' can answer; set it to 0 or "
            "change the judge."
        )
    needed = ["source"]
    if phase in _WITH_TARGET or group.target_pictures:
        needed.append("target")
    for domain in needed:
        if not group[f"{domain}_pictures"]:
            learns = "masks of source pictures"
            if domain == "target":
                learns = "target tags"
            elif phase == "attention":
                learns = "tags of source pictures too"
            found.append(
                f"config.phases.{phase}.{domain}_pictures is 0, but --phase "
                f"{phase} learns from {learns}; give it a positive number."
            )
        found += missing_data(config, domain)
    return found


def image_problems(config: Config) -> list[str]:
    """Sentences about an encoder and sizes that do not fit each other."""
    found, image = encoder_problems(config), config.image
    if image.size % STRIDE:
        near = max(STRIDE, round(image.size / STRIDE) * STRIDE)
        found.append(
            f"config.image.size is {image.size}, which is no multiple of "
            f"{STRIDE}, as the four pools of {config.model.encoder} need; use "
            f"{near}."
        )
    return found + resize_problems(config)


def encoder_problems(config: Config) -> list[str]:
    """A sentence about an encoder that there is not."""
    if config.model.encoder in ENCODERS:
        return []
    return [
        f"config.model.encoder is '{config.model.encoder}'; use one of "
        f"{', '.join(ENCODERS)}."
    ]


def resize_problems(config: Config) -> list[str]:
    """A sentence about windows that are larger than the picture."""
    image = config.image
    if image.resize >= image.size:
        return []
    return [
        f"config.image.resize is {image.resize}; it must be at least "
        f"config.image.size, {image.size}."
    ]


def missing_data(config: Config, domain: str) -> list[str]:
    """Sentences about locations of a domain's pictures that nobody gave."""
    files = {"source": "source_annotations", "target": "target_tags"}
    return [
        f"config.data.{name} is empty; set it in the config file or with "
        f"--config.data.{name}=PATH."
        for name in (files[domain], f"{domain}_images")
        if not config.data[name]
    ]
