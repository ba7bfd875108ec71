"""Checks that every layer of the project must pass, whatever it computes."""

import keras
import numpy as np


def check_layer(
    layer: keras.layers.Layer, inputs, folder, float_tolerance: float = 0.0
) -> None:
    """Config round trip, weights saved and loaded, and mixed precision.

    Args:
        layer: a layer that has not been called yet.
        inputs: NumPy array, or list or dict of arrays, batch axis first; a
            tuple holds several arguments.
        folder: `tmp_path` of the test.
        float_tolerance: largest difference after loading (0: bit for bit).
    """
    model = _model_of(layer, inputs)
    expected = _outputs(model, inputs)
    twin = _model_of(_round_trip(layer), inputs)
    path = str(folder / "checked.weights.h5")
    model.save_weights(path)
    twin.load_weights(path)
    for one, two in zip(expected, _outputs(twin, inputs), strict=True):
        assert one.dtype == two.dtype
        np.testing.assert_allclose(one, two, rtol=0, atol=float_tolerance)
    for one, spec in zip(
        expected, keras.tree.flatten(model.outputs), strict=True
    ):
        assert one.shape[1:] == tuple(spec.shape)[1:]
        assert one.dtype == keras.backend.standardize_dtype(spec.dtype)
    _check_mixed_precision(layer, inputs, expected)


def _round_trip(layer: keras.layers.Layer, **changes) -> keras.layers.Layer:
    """A copy through the registered serialisation, as a saved model makes."""
    config = keras.saving.serialize_keras_object(layer)
    assert config["registered_name"].startswith("keras_wsss>"), (
        f"{type(layer).__name__} is not registered under keras_wsss"
    )
    config["config"].update(changes)
    copy = keras.saving.deserialize_keras_object(config)
    assert type(copy) is type(layer)
    if not changes:
        assert copy.get_config() == layer.get_config()
    return copy


def _model_of(layer: keras.layers.Layer, inputs) -> keras.Model:
    symbolic = keras.tree.map_structure(
        lambda array: keras.Input(array.shape[1:], dtype=array.dtype.name),
        inputs,
    )
    if isinstance(symbolic, tuple):
        return keras.Model(list(symbolic), layer(*symbolic))
    return keras.Model(symbolic, layer(symbolic))


def _outputs(model: keras.Model, inputs) -> list[np.ndarray]:
    if isinstance(inputs, tuple):
        inputs = list(inputs)
    outputs = model(inputs, training=False)
    return [
        keras.ops.convert_to_numpy(output)
        for output in keras.tree.flatten(outputs)
    ]


def _check_mixed_precision(layer, inputs, expected) -> None:
    for policy in ("mixed_float16", "mixed_bfloat16"):
        mixed = _round_trip(layer, dtype=policy)
        outputs = _outputs(_model_of(mixed, inputs), inputs)
        for variable in mixed.trainable_variables:
            assert keras.backend.standardize_dtype(variable.dtype) == "float32"
        for output, reference in zip(outputs, expected, strict=True):
            assert output.shape == reference.shape
            assert np.isfinite(output.astype("float32")).all()
