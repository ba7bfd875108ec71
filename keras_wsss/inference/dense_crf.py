"""The published dense CRF, through the optional pydensecrf2 library."""

import dataclasses
from types import ModuleType

import numpy as np

from keras_wsss.errors import ConfigError, DataError

# Probabilities are clipped before the logarithm: bicubic upsampling, which
# the published code uses, leaves [0, 1].
SMALLEST_PROBABILITY = 1e-6


@dataclasses.dataclass(frozen=True)
class DenseCrfOptions:
    """Parameters of the CRF; the defaults are the TransferNet release's.

    Attributes:
        smoothness_xy: standard deviation of the smoothness kernel, pixels.
        smoothness_weight: its Potts weight.
        appearance_xy: spatial standard deviation of the appearance
            (bilateral) kernel, pixels.
        appearance_rgb: its colour standard deviation, grey levels (0-255).
        appearance_weight: its Potts weight.
        iterations: mean-field iterations.
    """

    smoothness_xy: float = 3.0
    smoothness_weight: float = 3.0
    appearance_xy: float = 20.0
    appearance_rgb: float = 3.0
    appearance_weight: float = 5.0
    iterations: int = 10

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            weight = field.name.endswith("weight")
            if not value >= 0 or (value == 0 and not weight):
                raise ConfigError(
                    f"Dense CRF: {field.name} is {value}; it must be "
                    f"{'0 or more' if weight else 'more than 0'}."
                )


def load_pydensecrf() -> ModuleType:
    """The `pydensecrf.densecrf` module.

    Raises:
        ConfigError: the library is not installed; says how to install it.
    """
    try:
        from pydensecrf import densecrf
    except ImportError as error:
        raise ConfigError(
            "--dense_crf needs pydensecrf2, which cannot be imported "
            f"({error}); install it with `pip install '.[crf]'` (it "
            "builds with a C++ compiler), or leave --dense_crf out: --refine "
            "needs nothing."
        ) from error
    return densecrf


def dense_crf(
    image: np.ndarray,
    probabilities: np.ndarray,
    options: DenseCrfOptions | None = None,
) -> np.ndarray:
    """Refines each label's foreground probability with its own binary CRF.

    Fully connected CRF with two Gaussian kernels and Potts compatibility
    (Krahenbuhl & Koltun, NIPS 2011), run per label as the TransferNet
    release does. The kernels are *not* normalised: messages are raw sums of
    exp(-|f_i - f_j|^2 / 2) over all pixels, which makes the pairwise term
    far stronger than the same weights in a normalised implementation.

    Args:
        image: uint8 [height, width, 3], RGB.
        probabilities: float [labels, height, width] in [0, 1].
        options: the CRF's parameters; TransferNet's when None.

    Returns:
        float32 [labels, height, width]: the posterior foreground
        probability; a label fires (MAP) where it is above 0.5.

    Raises:
        ConfigError: pydensecrf2 is not installed.
        DataError: shapes or types that do not fit, or values not finite.
    """
    densecrf = load_pydensecrf()
    options = options or DenseCrfOptions()
    probabilities = np.asarray(probabilities)
    _check(image, probabilities)
    height, width = image.shape[:2]
    image = np.ascontiguousarray(image)
    refined = np.empty(probabilities.shape, np.float32)
    for label, probability in enumerate(probabilities):
        foreground = np.clip(
            probability.astype(np.float64),
            SMALLEST_PROBABILITY,
            1 - SMALLEST_PROBABILITY,
        )
        unary = -np.log(np.stack([1 - foreground, foreground]))
        crf = densecrf.DenseCRF2D(width, height, 2)
        crf.setUnaryEnergy(
            np.ascontiguousarray(unary.reshape(2, -1), np.float32)
        )
        constant = {
            "kernel": densecrf.CONST_KERNEL,
            "normalization": densecrf.NO_NORMALIZATION,
        }
        crf.addPairwiseGaussian(
            sxy=options.smoothness_xy,
            compat=options.smoothness_weight,
            **constant,
        )
        crf.addPairwiseBilateral(
            sxy=options.appearance_xy,
            srgb=options.appearance_rgb,
            rgbim=image,
            compat=options.appearance_weight,
            **constant,
        )
        posterior = np.asarray(crf.inference(options.iterations))
        refined[label] = posterior[1].reshape(height, width)
    return refined


def _check(image: np.ndarray, probabilities: np.ndarray) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise DataError(
            "Dense CRF: the picture must be uint8 [height, width, 3], not "
            f"{image.dtype} {image.shape}."
        )
    if probabilities.ndim != 3 or probabilities.shape[1:] != image.shape[:2]:
        raise DataError(
            f"Dense CRF: probabilities have shape {probabilities.shape}; for "
            f"this picture they must be [labels, {image.shape[0]}, "
            f"{image.shape[1]}]."
        )
    if not np.all(np.isfinite(probabilities)):
        raise DataError(
            "Dense CRF: a probability is not finite; the model's weights are "
            "damaged or its training diverged."
        )
