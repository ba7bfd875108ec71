"""The published dense CRF, through the optional pydensecrf2 library."""

from types import ModuleType

import numpy as np

from keras_wsss.errors import ConfigError, DataError

# Probabilities are clipped before the logarithm: bicubic upsampling, which
# the published code uses, leaves [0, 1].
SMALLEST_PROBABILITY = 1e-6
# The TransferNet release's. Standard deviations of the smoothness and of the
# appearance (bilateral) kernel in pixels and grey levels, Potts weights.
SMOOTHNESS_XY, SMOOTHNESS_WEIGHT = 3.0, 3.0
APPEARANCE_XY, APPEARANCE_RGB, APPEARANCE_WEIGHT = 20.0, 3.0, 5.0
ITERATIONS = 10  # of the mean field


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


def dense_crf(image: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Refines each label's foreground probability with its own binary CRF.

    Fully connected CRF with two Gaussian kernels and Potts compatibility
    (Krahenbuhl & Koltun, NIPS 2011), run per label as the TransferNet
    release does. The kernels are *not* normalised: messages are raw sums of
    exp(-|f_i - f_j|^2 / 2) over all pixels, which makes the pairwise term
    far stronger than the same weights in a normalised implementation.

    Args:
        image: uint8 [height, width, 3], RGB.
        probabilities: float [labels, height, width] in [0, 1].

    Returns:
        float32 [labels, height, width]: the posterior foreground
        probability; a label fires (MAP) where it is above 0.5.

    Raises:
        ConfigError: pydensecrf2 is not installed.
        DataError: shapes or types that do not fit, or values not finite.
    """
    densecrf = load_pydensecrf()
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
            sxy=SMOOTHNESS_XY,
            compat=SMOOTHNESS_WEIGHT,
            **constant,
        )
        crf.addPairwiseBilateral(
            sxy=APPEARANCE_XY,
            srgb=APPEARANCE_RGB,
            rgbim=image,
            compat=APPEARANCE_WEIGHT,
            **constant,
        )
        posterior = np.asarray(crf.inference(ITERATIONS))
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
