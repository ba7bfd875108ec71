"""Nothing of a step or of inference lacks a kernel for GPUs.

The build of TensorFlow for Linux lists its GPU kernels without a GPU. What
has none would run on the CPU, with the tensors sent there and back.
"""

import pytest
import tensorflow as tf
from tensorflow.python.framework import kernels
from tiny import SIZE, random_part, tiny_config
from tiny_prior import tiny_prior_config

from keras_wsss.config import split_of
from keras_wsss.systems import get_system
from keras_wsss.systems.network import build_network, named_variables
from keras_wsss.systems.prior.update import PriorUpdate
from keras_wsss.systems.quality import Quality, augmented_views
from keras_wsss.systems.transfernet.update import Update

pytestmark = pytest.mark.skipif(
    not any(
        kernel.device_type == "GPU"
        for kernel in kernels.get_registered_kernels_for_op("MatMul").kernel
    ),
    reason="this build of TensorFlow has no GPU kernels",
)


def operations(graph: tf.Graph):
    """(name, dtypes by attribute) of all operations, of inner graphs too."""
    definition = graph.as_graph_def()
    nodes = list(definition.node)
    for function in definition.library.function:
        nodes += function.node_def
    return {
        (
            node.op,
            tuple(sorted((k, v.type) for k, v in node.attr.items() if v.type)),
        )
        for node in nodes
    }


def without_kernel(graph: tf.Graph) -> set[str]:
    """Operations, with their types, that no GPU kernel computes."""
    missing = set()
    for name, types in operations(graph):
        known = kernels.get_registered_kernels_for_op(name).kernel
        if not any(
            kernel.device_type in ("GPU", "DEFAULT")
            and all(
                dict(types).get(rule.name) in rule.allowed_values.list.type
                for rule in kernel.constraint
                if dict(types).get(rule.name) is not None
            )
            for kernel in known
        ):
            kinds = [f"{k}={tf.dtypes.as_dtype(v).name}" for k, v in types]
            missing.add(f"{name}({', '.join(kinds)})")
    return missing


def test_a_missing_kernel_is_found():
    graph = tf.Graph()
    with graph.as_default():
        maps = tf.compat.v1.placeholder(tf.float32, [1, 8, 8, 1])
        tf.image.resize(maps, (4, 4), method="area")
    assert any(name.startswith("ResizeArea") for name in without_kernel(graph))


def rich_config():
    """TransferNet with all that the scored rows use, on either encoder."""
    return tiny_config("data").replace(
        {
            "model.guide_maps": True,
            "model.guide_features": 4,
            "model.shortcut": True,
            "model.ignore_padding": True,
            "model.judge": "tagger",
            "model.output_stride": 1,
        }
    )


CONFIGS = {
    "published": lambda: tiny_config("data"),
    "extended": rich_config,
    "finer maps": lambda: rich_config().replace(
        {"model.encoder": "efficientnet_lite0", "model.output_stride": 4}
    ),
    "bfloat16": lambda: rich_config().replace(
        {"model.compute_dtype": "bfloat16"}
    ),
    "prior": lambda: tiny_prior_config("data"),
}


def part_of(config, split, net):
    """A domain's rows of a batch, without a cache."""
    part = random_part(0, split, "source", 2, 1)
    size, grid = config.image.size, SIZE // 16
    if config.system == "prior":
        grid = SIZE // 8 + 1
        part["hidden"] = tf.ones([2, 4, 4])
    else:
        grid = net.grid
    part["image"] = tf.zeros([2, size, size, 3])
    part["valid"] = tf.ones([2, grid, grid])
    return part


@pytest.mark.parametrize("name", CONFIGS)
def test_a_step_and_inference_stay_on_the_gpu(name):
    config = CONFIGS[name]()
    split, system = split_of(config), get_system(config.system)
    net = build_network(config, split)
    optimizer = system.make_optimizer(config)
    variables = named_variables(net, net.trained_parts).values()
    optimizer.build([v for v in variables if v.trainable])
    strategy = tf.distribute.get_strategy()
    part = part_of(config, split, net)
    if config.system == "prior":
        update = PriorUpdate(net, split, optimizer, config, True, strategy)
        batch = {"target": part}
    else:
        weights = {"mask_weight": 1.0, "tag_weight": 1.0, "overlap_weight": 1.0}
        train = config.train.replace(weights)
        update = Update(net, optimizer, train, strategy)
        batch = {"source": part}
    rate = tf.constant(1e-3)
    graphs = [update._function.get_concrete_function(batch, rate).graph]

    steps = system.make_steps(net, split, config)
    quality = Quality(augmented_views((1.0,)), True, steps.has_crf)
    segment = tf.function(
        lambda image, asked: steps.segment(image, asked, quality),
        autograph=False,
        input_signature=[
            tf.TensorSpec([None, None, 3], tf.uint8),
            tf.TensorSpec([None], tf.int32),
        ],
    )
    graphs.append(segment.get_concrete_function().graph)
    assert [without_kernel(graph) for graph in graphs] == [set(), set()]
