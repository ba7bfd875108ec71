"""The picture of a network shows its parts, shapes and connections."""

import xml.etree.ElementTree as ElementTree

import keras
import pytest

from keras_wsss.systems.diagram import draw_diagram, parts_of

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def model():
    """A frozen encoder read by two heads, of which one takes a label too."""
    image = keras.Input((8, 8, 3), name="image")
    features = keras.layers.Conv2D(4, 3, name="inner")(image)
    encoder = keras.Model(image, features, name="encoder")
    encoder.trainable = False
    given = keras.Input((8, 8, 3), name="given")
    label = keras.Input((6, 6, 4), dtype="float32", name="label<1>")
    encoded = encoder(given)
    first = keras.layers.Dense(5, name="first")(encoded)
    both = keras.layers.Add(name="both")([encoded, label])
    return keras.Model([given, label], [first, both])


@pytest.fixture(scope="module")
def parts(model):
    return {part.name: part for part in parts_of(model)}


def test_parts_have_shapes_weights_and_inputs(parts):
    assert parts.keys() == {"given", "label<1>", "encoder", "first", "both"}
    assert parts["encoder"].inputs == ("given",)
    assert set(parts["both"].inputs) == {"encoder", "label<1>"}
    assert parts["encoder"].lines == (
        "? x 6 x 6 x 4  float32",
        "112 weights, frozen",
    )
    assert parts["first"].lines[1] == "25 weights"
    assert [name for name, part in parts.items() if part.data] == [
        "given",
        "label<1>",
    ]


def test_what_is_taken_stands_above_what_takes_it(parts):
    root = ElementTree.fromstring(draw_diagram(list(parts.values()), "a & b"))
    assert root.find(f"{SVG}title").text == "a & b"
    heights = {
        text.text: float(text.get("y"))
        for text in root.iter(f"{SVG}text")
        if text.get("class") == "name"
    }
    assert heights.keys() == parts.keys()
    for part in parts.values():
        assert all(heights[i] < heights[part.name] for i in part.inputs)
    # The label stands beside the encoder, right above what takes it.
    assert heights["label<1>"] == heights["encoder"]
    arrows = [p for p in root.iter(f"{SVG}path") if p.get("marker-end")]
    assert len(arrows) == sum(len(part.inputs) for part in parts.values())
