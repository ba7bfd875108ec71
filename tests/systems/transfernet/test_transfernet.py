"""TransferNet as a whole: parts, counts, gradients, several labels."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.backend.common import global_state
from tiny import SIZE, encoder_weights, random_part

from keras_wsss.categories import SPLITS
from keras_wsss.encoders.layer_weights import assign_by_name
from keras_wsss.errors import ConfigError
from keras_wsss.systems.transfernet.losses import classification_loss, mask_loss
from keras_wsss.systems.transfernet.network import TransferNet

SPLIT = SPLITS["shapes"]


def tiny_network(**changes):
    values = {
        "num_categories": SPLIT.num_categories,
        "encoder": "vgg_small",
        "image_size": SIZE,
        "attention": "conv",
        "attention_units": 16,
        "classifier_units": 16,
        "decoder_width": 0.1,
        "output_stride": 4,
        "initializer": "he",
        "tagger_units": 16,
    }
    keras.utils.set_random_seed(0)
    net = TransferNet(**{**values, **changes})
    assign_by_name(net.encoder, encoder_weights(), "here")
    return net


@pytest.fixture(scope="module")
def published():
    """The published form, described but not allocated (a gigabyte)."""
    with keras.StatelessScope(initialize_variables=False):
        net = TransferNet(num_categories=80)
        # Else the next scope would give all of them their values.
        global_state.set_global_attribute("uninitialized_variables", [])
    return net


def count(variables):
    return sum(math.prod(variable.shape) for variable in variables)


def test_parameters_of_the_published_form(published):
    variables = published.attention.variables
    attention = [v for v in variables if v.path.startswith("att/")]
    classifier = [v for v in variables if v.path.startswith("classifier")]
    assert len(attention) + len(classifier) == len(variables)
    assert count(attention) == 211_258_768
    assert count(classifier) == 303_696
    assert count(published.decoder.variables) == 7_675_202
    assert count(published.encoder.variables) == 14_714_688
    assert not published.encoder.trainable_variables


def test_shapes_of_the_published_form(published):
    outputs = {
        name: tuple(output.shape)[1:]
        for name, output in published.output.items()
    }
    assert outputs == {
        "attention": (None, 20, 20),
        "attended": (None, 512),
        "class_logits": (None, 80),
        "densified_attention": (None, 20, 20),
        "mask_logits": (None, 320, 320, 2),
        "tag_logits": (80,),
    }


def test_summary_names_the_parts(published):
    lines = []
    published.summary(print_fn=lines.append)
    text = "\n".join(lines)
    for part in ("vgg16", "attention", "masks", "tagger"):
        assert part in text


@pytest.fixture(scope="module")
def net():
    return tiny_network()


def test_outputs_of_real_tensors(net):
    part = random_part(0, SPLIT, "source", labels=3)
    outputs = net([part["image"], part["labels"]])
    side = SIZE // 4
    assert outputs["mask_logits"].shape == (2, 3, side, side, 2)
    assert outputs["class_logits"].shape == (2, 3, SPLIT.num_categories)
    assert outputs["tag_logits"].shape == (2, SPLIT.num_categories)


def test_densified_attention_is_a_a_transposed_attention(net):
    part = random_part(0, SPLIT, "source", labels=2)
    outputs = net([part["image"], part["labels"]])
    features = net.encoder(part["image"])[0].numpy()
    for b, k in np.ndindex(2, 2):
        matrix = features[b].reshape(-1, features.shape[-1]).astype(float)
        attention = outputs["attention"][b, k].numpy().ravel()
        np.testing.assert_allclose(
            outputs["densified_attention"][b, k].numpy().ravel(),
            matrix @ matrix.T @ attention,
            rtol=1e-4,
        )


def test_labels_together_are_as_labels_alone(net):
    part = random_part(1, SPLIT, "source", labels=3)
    together = net([part["image"], part["labels"]])
    for k in range(3):
        alone = net([part["image"], part["labels"][:, k : k + 1]])
        for name in ("mask_logits", "class_logits", "attention"):
            # A batch of another size is added up in another order; logits
            # are near 10.
            np.testing.assert_allclose(
                together[name][:, k], alone[name][:, 0], rtol=1e-4, atol=5e-5
            )


def test_losses_at_the_published_initialisation():
    net = tiny_network(
        attention="dense", initializer="published", output_stride=1
    )
    part = random_part(0, SPLIT, "source")
    outputs = net([part["image"], part["labels"]])
    maps = outputs["attention"].numpy()
    np.testing.assert_allclose(maps.sum((2, 3)), 1, atol=1e-5)
    np.testing.assert_allclose(maps, 1 / 16, rtol=0.2)
    total, number = classification_loss(
        outputs["class_logits"], part["labels"], part["weights"]
    )
    assert abs(total / number - math.log(SPLIT.num_categories)) < 0.5
    total, number = mask_loss(
        outputs["mask_logits"], part["mask"], part["labels"], part["weights"]
    )
    assert float(total / number) == pytest.approx(math.log(2), abs=1e-5)


def gradients(net, stop):
    """Largest gradient of the mask loss for each variable of attention."""
    part = random_part(0, SPLIT, "source")
    features, *levels = net.encoder(part["image"])
    variables = net.attention.trainable_variables
    with tf.GradientTape() as tape:
        guide = net.attention([features, part["labels"]])["guide"]
        if stop:
            guide = tf.stop_gradient(guide)
        logits = net.mask_logits(
            [guide, part["labels"], *net.select_levels(levels)]
        )
        loss, _ = mask_loss(
            logits, part["mask"], part["labels"], part["weights"]
        )
    found = tape.gradient(
        loss, [v.value for v in variables], unconnected_gradients="zero"
    )
    return {
        variable.path: float(tf.reduce_max(tf.abs(gradient)))
        for variable, gradient in zip(variables, found, strict=True)
    }


@pytest.mark.parametrize("form", ["conv", "dense"])
def test_mask_loss_reaches_the_attention_unless_stopped(form):
    net = tiny_network(attention=form)
    reached, stopped = gradients(net, stop=False), gradients(net, stop=True)
    for part in ("feat_embed", "cls_embed", "combined_embed", "att_w"):
        assert reached[f"att/{part}/kernel"] > 0
    # The classifier comes after the attended feature, beside the decoder.
    assert reached["classifier_logits/kernel"] == 0
    assert not any(stopped.values())


def test_judge_tagger_shares_the_taggers_layers():
    net = tiny_network(judge="tagger")
    assert count(net.attention.variables) - count(
        v for v in net.attention.variables if v.path.startswith("att/")
    ) == count(net.tagger.variables)
    part = random_part(0, SPLIT, "source")
    outputs = net([part["image"], part["labels"]])
    assert outputs["class_logits"].shape == (2, 1, SPLIT.num_categories)


def test_absent_class_adds_one_answer():
    net = tiny_network(absent_class=True)
    kernel = net.attention.get_layer("classifier_logits").kernel
    assert kernel.shape[1] == SPLIT.num_categories + 1


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"judge": "jury"}, ValueError, "judge must be"),
        ({"attention": "sparse"}, ValueError, "form must be"),
        ({"image_size": 70}, ConfigError, "multiple of 16"),
        ({"encoder": "resnet"}, ConfigError, "Unknown encoder 'resnet'"),
    ],
)
def test_impossible_networks_are_refused(changes, error, text):
    with pytest.raises(error, match=text):
        tiny_network(**changes)
