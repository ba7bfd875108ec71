"""Pretrained encoders: frozen features, and what decoders take of them.

`keras_wsss.encoders.encoder.Encoder` is what an encoder must say of itself.
"""

from typing import TYPE_CHECKING

from keras_wsss.errors import ConfigError
from keras_wsss.lazy import lazy_names
from keras_wsss.registry import Registry

if TYPE_CHECKING:
    from keras_wsss.encoders.encoder import Block as Block
    from keras_wsss.encoders.encoder import Encoder as Encoder
    from keras_wsss.encoders.encoder import Level as Level

# A list of names need not wait for NumPy.
__getattr__, _, _contract = lazy_names(
    __name__, {f"{__name__}.encoder": ["Block", "Encoder", "Level"]}
)
__all__ = ["encoder_names", "get_encoder", "register_encoder"]
__all__ += _contract

_ENCODERS: "Registry[Encoder]" = Registry(
    "encoder",
    {
        "vgg16": "keras_wsss.encoders.vgg:VGG16",
        "efficientnet_lite0": (
            "keras_wsss.encoders.efficientnet_lite:EFFICIENTNET_LITE0"
        ),
        "vgg_small": "keras_wsss.encoders.vgg:VGG_SMALL",
    },
)


def encoder_names() -> tuple[str, ...]:
    """What `config.model.encoder` may be, but for names of keras-hub."""
    from keras_wsss.encoders.applications import APPLICATIONS

    return tuple(dict.fromkeys((*_ENCODERS.names(), *APPLICATIONS)))


def get_encoder(name: str) -> "Encoder":
    """The encoder called `name`.

    Args:
        name: of a registered encoder; of a model of `keras.applications`,
            as resnet50 or convnext_tiny; "hub:" and a preset of keras-hub,
            or its folder; or two of them, "FIRST+SECOND".

    Raises:
        ConfigError: there is none.
    """
    from keras_wsss.encoders.applications import APPLICATIONS, application
    from keras_wsss.encoders.hub import PREFIX, hub_backbone
    from keras_wsss.encoders.two_encoders import TwoEncoders

    if name in _ENCODERS.names():
        return _ENCODERS.get(name)
    if name.count("+") == 1:
        first, second = name.split("+")
        return TwoEncoders(get_encoder(first), get_encoder(second))
    if name in APPLICATIONS:
        return application(name)
    if name.startswith(PREFIX):
        return hub_backbone(name.removeprefix(PREFIX))
    raise ConfigError(
        f"Unknown encoder '{name}'; use one of {', '.join(encoder_names())}, "
        f"'{PREFIX}' and an image backbone of keras-hub, or two of them as "
        "FIRST+vgg16."
    )


def register_encoder(encoder: "Encoder") -> "Encoder":
    """Makes an encoder known by its name; gives it back."""
    return _ENCODERS.register(encoder)


def __dir__() -> list[str]:
    return sorted(__all__)
