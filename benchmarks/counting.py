"""How much a network has to compute."""

import tensorflow as tf


def operations(model, *shapes_and_types) -> float:
    """Float operations of a pass: convolutions and matrix products."""
    inputs = [tf.TensorSpec(s, t) for s, t in shapes_and_types]
    function = tf.function(
        lambda *x: model(list(x) if len(x) > 1 else x[0], training=False),
        autograph=False,
    )
    graph = function.get_concrete_function(*inputs).graph
    profiler = tf.compat.v1.profiler
    options = (
        profiler.ProfileOptionBuilder(
            profiler.ProfileOptionBuilder.float_operation()
        )
        .with_empty_output()
        .build()
    )
    return float(profiler.profile(graph, options=options).total_float_ops)
