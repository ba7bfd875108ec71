"""Mean field of a fully connected CRF, exact, on a small grid."""

import keras
import numpy as np
from keras import ops

from keras_wsss.layers.refinement_steps import fine_product


@keras.saving.register_keras_serializable("keras_wsss")
class MeanFieldCrf(keras.layers.Layer):
    """Lets scores of a small grid follow the colours of the picture.

    Fully connected CRF with Potts compatibility (Krahenbuhl & Koltun, NIPS
    2011). With log-potentials L, it starts from Q = softmax(L) and repeats

        Q <- softmax(L + sum over m of w_m n_m(i) sum over j of k_m(i, j) Q_j)

    for a kernel of position and one of position and colour, each
    exp(-|d|^2 / 2) with j = i included, and n_m(i) = 1 / sum of k_m(i, j):
    rows are normalised after filtering. All pairs are summed, so memory and
    time grow with the square of the number of cells: 11 MB for each kernel
    and picture on 41 x 41 cells. No variables, no native code; float32
    whatever the precision policy.

    Args:
        smoothness_xy: standard deviation of the position kernel, cells.
        smoothness_weight: its weight; 0 leaves it out.
        appearance_xy: standard deviation of the other kernel in space, cells.
        appearance_rgb: its standard deviation in colour, grey levels (0-255).
        appearance_weight: its weight; 0 leaves it out.
        iterations: mean-field iterations.

    Call arguments:
        log_potentials: float [B, h, w, K]; h and w are known when the graph
            is built.
        image: [B, h, w, 3]; colours of the cells in grey levels. A constant
            shift does not matter, nor does the order of the channels.
        valid: float [B, h, w] or None; cells with 0 are no part of the
            picture and send no messages.

    Returns:
        float32 [B, h, w, K], log Q.

    Reference:
        The Caffe DenseCRF layer in the release of the prior system.
    """

    def __init__(
        self,
        smoothness_xy: float = 3.0,
        smoothness_weight: float = 3.0,
        appearance_xy: float = 50.0,
        appearance_rgb: float = 10.0,
        appearance_weight: float = 5.0,
        iterations: int = 10,
        **kwargs,
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        self.options = {
            "smoothness_xy": float(smoothness_xy),
            "smoothness_weight": float(smoothness_weight),
            "appearance_xy": float(appearance_xy),
            "appearance_rgb": float(appearance_rgb),
            "appearance_weight": float(appearance_weight),
            "iterations": int(iterations),
        }
        for name, value in self.options.items():
            zero_allowed = name.endswith(("weight", "iterations"))
            if not (value > 0 or (value == 0 and zero_allowed)):
                raise ValueError(
                    f"{name} must be "
                    f"{'0 or more' if zero_allowed else 'positive'}, got "
                    f"{value}"
                )

    def call(self, log_potentials, image, valid=None):
        """Runs the iterations; see the class."""
        height, width, labels = log_potentials.shape[1:]
        if height is None or width is None:
            raise ValueError("the size of the grid must be known")
        cells = height * width
        unary = ops.cast(log_potentials, "float32")
        unary = ops.reshape(unary, (-1, cells, labels))
        image = ops.reshape(ops.cast(image, "float32"), (-1, cells, 3))
        if valid is not None:
            valid = ops.cast(ops.reshape(valid, (-1, 1, cells)), "float32")
        kernels = self._kernels(image, height, width, valid)
        total = unary
        for _ in range(self.options["iterations"]):
            beliefs = ops.softmax(total, axis=-1)  # (B, N, K)
            total = unary
            for weight, kernel, row_sums in kernels:
                message = ops.matmul(kernel, beliefs) / row_sums
                total = total + weight * message
        result = ops.log_softmax(total, axis=-1)
        return ops.reshape(result, (-1, height, width, labels))

    def _kernels(self, image, height: int, width: int, valid) -> list:
        """(weight, kernel [B or 1, N, N], its row sums) of each kernel."""
        options = self.options
        rows, columns = np.divmod(np.arange(height * width), width)
        distance = ((rows[:, None] - rows) ** 2).astype(np.float64)
        distance += (columns[:, None] - columns) ** 2
        kernels = []
        if weight := options["smoothness_weight"]:
            position = np.exp(-distance / (2 * options["smoothness_xy"] ** 2))
            kernel = ops.convert_to_tensor(position[None], "float32")
            kernels.append((weight, kernel))
        if weight := options["appearance_weight"]:
            # Around their mean, colours keep more digits in the products.
            colour = image - ops.mean(image, axis=1, keepdims=True)
            colour = colour / options["appearance_rgb"]
            length = ops.sum(colour * colour, axis=-1)  # (B, N)
            product = fine_product(colour, colour)
            apart = length[:, :, None] + length[:, None, :] - 2 * product
            place = distance / options["appearance_xy"] ** 2
            apart = ops.maximum(apart, 0.0) + ops.convert_to_tensor(
                place[None], "float32"
            )
            kernels.append((weight, ops.exp(-0.5 * apart)))
        if valid is not None:
            kernels = [(weight, kernel * valid) for weight, kernel in kernels]
        return [
            # A cell that nothing reaches, far from the picture, hears 0.
            (w, k, ops.sum(k, axis=-1, keepdims=True) + 1e-20)
            for w, k in kernels
        ]

    def compute_output_spec(self, log_potentials, image, valid=None):
        """Shape and dtype of what `call` returns."""
        return keras.KerasTensor(log_potentials.shape, "float32")

    def get_config(self) -> dict:
        """The arguments that rebuild this layer."""
        return {**super().get_config(), **self.options}
