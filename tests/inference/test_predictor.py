"""Predictions of a trained run: sizes, tags, views."""

import dataclasses
import io
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from pycocotools import mask as coco_mask
from tiny import SIZE, tiny_config

from keras_wsss.config import split_of
from keras_wsss.data.images import read_image
from keras_wsss.data.masks import read_palette_mask
from keras_wsss.errors import ConfigError, DataError
from keras_wsss.inference.one_picture import OnePicture
from keras_wsss.inference.predictor import (
    RAW,
    Predictor,
    View,
    augmented_views,
)
from keras_wsss.run_folder import CHECKPOINTS, ENCODER
from keras_wsss.serving import signatures
from keras_wsss.serving.options import ServingOptions
from keras_wsss.serving.signatures import ServingModule
from keras_wsss.systems.network import build_network
from keras_wsss.systems.quality import Quality
from keras_wsss.tagging import TagRule

SHARP = View()
MIRRORED = View(mirror=True)


@pytest.fixture(scope="module")
def picture(shapes_dir):
    folder = shapes_dir / "target" / "JPEGImages"
    return sorted(folder.glob("val_*.jpg"))[0]


@pytest.fixture(scope="module")
def image(picture):
    return read_image(picture)


@pytest.mark.parametrize(
    ("height", "width"), [(37, 81), (81, 37), (64, 64), (150, 99), (1, 5)]
)
def test_mask_has_the_pictures_own_size(predictor, height, width):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (height, width, 3), np.uint8)
    prediction = predictor(noise, tags=["fish", "star"], refine=height > 1)
    assert prediction.mask.shape == (height, width)
    assert prediction.mask.dtype == np.uint8
    assert set(np.unique(prediction.mask)) <= {0, *prediction.tags}
    assert prediction.probabilities.shape == (2, height, width)
    assert prediction.probabilities.min() >= 0
    assert prediction.probabilities.max() <= 1


def test_file_and_array_give_the_same(predictor, picture, image):
    one, other = predictor(picture), predictor(image)
    np.testing.assert_array_equal(one.mask, other.mask)
    np.testing.assert_array_equal(one.tag_scores, other.tag_scores)


def test_equal_logits_mean_two_thirds(predictor, image):
    """Background counts half, in the whole network: a decoder of zeros."""
    config = predictor.config
    net = build_network(config, predictor.split)
    net.decoder.set_weights([0 * w for w in net.decoder.get_weights()])
    flat = Predictor(net, predictor.split, config)
    found = flat(image, ["fish"], refine=False)
    np.testing.assert_allclose(found.probabilities, 2 / 3, rtol=1e-5)
    assert np.all(found.mask == found.tags[0])


def test_tags_by_name_and_by_id(predictor, image):
    fish = predictor.split.id_of("fish")
    named = predictor(image, tags=["fish"])
    assert named.tags == (fish,)
    np.testing.assert_array_equal(
        named.probabilities, predictor(image, tags=[fish]).probabilities
    )


@pytest.mark.parametrize("tag", ["unicorn", 0, 21, -1])
def test_unknown_tag_is_refused(predictor, image, tag):
    with pytest.raises(ConfigError, match=f"Unknown tag '{tag}'; this model"):
        predictor(image, tags=[tag])


def test_no_tag_means_background(predictor, image):
    prediction = predictor(image, tags=[])
    assert not prediction.mask.any()
    assert prediction.probabilities.shape == (0, *image.shape[:2])


def test_labels_together_are_as_labels_alone(predictor, image):
    together = predictor(image, [1, 2, 3], RAW, refine=False).probabilities
    for row, tag in enumerate((1, 2, 3)):
        alone = predictor(image, [tag], RAW, refine=False).probabilities
        np.testing.assert_allclose(alone[0], together[row], atol=1e-5)


def test_most_probable_label_wins_over_the_threshold(predictor, image):
    prediction = predictor(image, [1, 2], refine=False)
    best = prediction.probabilities.argmax(0)
    expected = np.where(
        prediction.probabilities.max(0) > 0.5,
        np.array(prediction.tags)[best],
        0,
    )
    np.testing.assert_array_equal(prediction.mask, expected)


def test_tags_over_the_threshold_or_the_best_or_none(predictor):
    steps = predictor.steps
    rule = TagRule(0.5, 0.3)
    predictor = Predictor(
        predictor.net, predictor.split, predictor.config, rule=rule
    )
    assert predictor.steps.rule == rule
    scores = np.zeros(predictor.split.num_categories)
    targets = np.array(predictor.split.scored_ids)
    scores[targets[2] - 1] = 0.31
    # A source category is never a prediction, however sure the tagger is.
    scores[predictor.split.source_ids[0] - 1] = 0.99
    assert predictor.choose_tags(scores) == (targets[2],)
    scores[targets[2] - 1] = 0.29
    assert predictor.choose_tags(scores) == ()
    scores[targets[[0, 4]] - 1] = 0.6, 0.9
    assert predictor.choose_tags(scores) == (targets[0], targets[4])
    assert steps.rule != rule  # each has its own


def test_a_picture_without_a_tag_has_an_empty_mask(predictor, image):
    rule = TagRule(1.0, 1.0)
    cautious = Predictor(
        predictor.net, predictor.split, predictor.config, rule=rule
    )
    prediction = cautious(image)
    assert prediction.tags == ()
    assert prediction.mask.shape == image.shape[:2]
    assert not prediction.mask.any()
    assert cautious(image, tags=["star"]).tags  # tags overrule


def test_mirrored_view_is_the_view_of_the_mirrored_picture(predictor, image):
    found = OnePicture(predictor, image).probabilities([1, 2], [MIRRORED])
    plain = OnePicture(predictor, image[:, ::-1])
    expected = plain.probabilities([1, 2])[..., ::-1]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_views_are_averaged(predictor, image):
    picture = OnePicture(predictor, image)
    both, single = (SHARP, MIRRORED), ([SHARP], [MIRRORED])
    np.testing.assert_allclose(
        picture.probabilities([1], both),
        np.mean([picture.probabilities([1], v) for v in single], axis=0),
        atol=1e-6,
    )
    np.testing.assert_allclose(
        picture.tag_scores(both),
        np.mean([picture.tag_scores(views) for views in single], axis=0),
        atol=1e-6,
    )


def test_conv_attention_takes_other_scales(predictor, image):
    picture = OnePicture(predictor, image)
    features = picture.encode(View(0.5)).features
    assert features.shape[1:3] == (SIZE // 32, SIZE // 32)
    found = picture.probabilities([1], [View(0.5)])
    assert found.shape == (1, *image.shape[:2])
    # Also as the first scale that a predictor meets.
    fresh = Predictor(predictor.net, predictor.split, predictor.config)
    scores = OnePicture(fresh, image).tag_scores([View(0.5)])
    assert scores.shape == (predictor.split.num_categories,)
    # The same weights: half the size of a picture twice as large.
    large = image.repeat(2, 0).repeat(2, 1)
    assert np.isfinite(predictor(large, [1], [View(0.5)]).probabilities).all()


def test_dense_attention_has_one_size(image):
    config = tiny_config("data")
    config = config.replace({"model.attention": "dense"})
    split = split_of(config)
    dense = Predictor(build_network(config, split), split, config)
    assert dense(image, tags=[1]).mask.shape == image.shape[:2]
    with pytest.raises(ConfigError, match=r"scales must be \(1.0,\)"):
        dense(image, tags=[1], views=[View(0.5)])


def test_dense_attention_is_cast_once(image, monkeypatch):
    config = tiny_config("data").replace(
        {"model.attention": "dense", "model.compute_dtype": "bfloat16"}
    )
    split = split_of(config)
    net = build_network(config, split)
    dense = Predictor(net, split, config)
    # The published one is too large for a graph.
    monkeypatch.setattr(signatures, "LARGEST_CONSTANT", 1000)
    served = ServingModule(dense.steps, ServingOptions(quality=Quality()))
    kernel = net.large_weights[0]
    assert kernel.dtype == "float32"
    held = [w for w in served.weights if w.shape == kernel.shape]
    assert [w.dtype for w in held] == [tf.bfloat16]

    steps, ids = dense.compiled.of_scale(1.0), tf.constant([1, 3])
    encoded = steps.encode(image, False)
    graph = steps.foreground.get_concrete_function(*encoded, ids).graph
    cast = [op for op in graph.get_operations() if op.type == "Cast"]
    assert cast
    assert kernel.shape not in [op.outputs[0].shape for op in cast]
    # The layer's own cast, at the call, gives the same to the bit.
    called = tf.function(dense.steps.foreground, autograph=False)
    expected = called(*encoded, ids, 1.0)
    np.testing.assert_array_equal(steps.foreground(*encoded, ids), expected)
    mask = served.signatures()["tensors"](
        images=image[None], tags=tf.constant([split.name_of(1)])
    )["mask"]
    own = dense(image, [1], RAW, refine=False).mask
    assert np.mean(mask[0] != own) < 1e-3


def test_augmented_views():
    views = augmented_views((1.0, 0.5))
    assert len(views) == len(set(views)) == 4
    assert all(dataclasses.is_dataclass(view) for view in views)
    for wrong in (0.0, -1.0, float("inf")):
        with pytest.raises(ConfigError, match="scales are positive"):
            augmented_views((1.0, wrong))


def test_maps_for_pictures(predictor, image):
    maps = OnePicture(predictor, image).maps([2, 5])
    grid = SIZE // 16
    assert {key: value.shape for key, value in maps.items()} == dict.fromkeys(
        ("attention", "densified_attention", "class_maps"), (2, grid, grid)
    )
    np.testing.assert_allclose(maps["attention"].sum((1, 2)), 1, atol=1e-5)


def test_unreadable_picture_is_named(predictor, tmp_path):
    path = tmp_path / "broken.jpg"
    path.write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"broken\.jpg"):
        predictor(path)


def test_folders_that_are_no_run_are_refused(transfer_run, tmp_path):
    with pytest.raises(ConfigError, match=r"config\.json: cannot be read"):
        Predictor.from_workdir(tmp_path)
    for part, text in ((ENCODER, "no encoder"), (CHECKPOINTS, "checkpoint")):
        copy = shutil.copytree(transfer_run[0], tmp_path / part)
        shutil.rmtree(copy / part)
        with pytest.raises(ConfigError, match=f"holds no .*{text[-7:]}"):
            Predictor.from_workdir(copy)


def test_tags_by_a_single_name_or_id(predictor, image):
    fish = predictor.split.id_of("fish")
    for tag in ("fish", fish, np.int64(fish)):
        assert predictor(image, tags=tag, views=RAW).tag_names == ("fish",)
    with pytest.raises(ConfigError, match="Unknown tag 'None'"):
        predictor(image, tags=[None])


@pytest.fixture(scope="module")
def prediction(predictor, image):
    return predictor(image, tags=["fish", "star"], views=RAW)


def test_a_prediction_is_kept(prediction, tmp_path):
    prediction.save(tmp_path / "mask.png")
    found = read_palette_mask(tmp_path / "mask.png")
    np.testing.assert_array_equal(found, prediction.mask)
    prediction.save(tmp_path / "sub" / "overlay.jpg")
    shown = read_image(tmp_path / "sub" / "overlay.jpg")
    assert shown.shape == prediction.overlay().shape
    with pytest.raises(ConfigError, match="the ending says what is written"):
        prediction.save(tmp_path / "mask.tif")
    assert not (tmp_path / "mask.tif").exists()


@pytest.mark.parametrize("polygons", [False, True])
def test_a_prediction_as_coco(prediction, polygons):
    found = prediction.to_coco("cat.jpg", polygons=polygons)
    shown = [i for i in prediction.tags if (prediction.mask == i).any()]
    assert shown == [entry["category_id"] for entry in found] != []
    for entry in found:
        code = entry["segmentation"]
        if polygons:
            size = prediction.mask.shape
            code = coco_mask.merge(coco_mask.frPyObjects(code, *size))
        region = prediction.mask == entry["category_id"]
        np.testing.assert_array_equal(coco_mask.decode(code), region)
        assert entry["image_id"] == "cat.jpg"


def test_a_notebook_shows_it(prediction):
    with Image.open(io.BytesIO(prediction._repr_png_())) as shown:
        assert shown.format == "PNG"
        assert shown.width > shown.height


def test_many_are_as_each(predictor, picture, image):
    several = [picture, image, image[..., :1], image[:20]]
    found = list(predictor.predict_many(several, "fish", Quality()))
    for one, prediction in zip(several, found, strict=True):
        expected = predictor.predict(one, ["fish"], Quality())
        np.testing.assert_array_equal(prediction.mask, expected.mask)
    batch = np.stack([image, image[::-1]])
    masks = [p.mask for p in predictor.predict_many(batch, "fish", Quality())]
    np.testing.assert_array_equal(masks[0], found[1].mask)
    assert len(masks) == 2
    each = predictor.predict_many(
        iter([image, image]), quality=Quality(), tags_each=["star", None]
    )
    assert next(each).tag_names == ("star",)
    assert next(each).by_tagger
    assert list(predictor.predict_many([])) == []


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"images": np.zeros((4, 5, 3), np.uint8)}, "takes several pictures"),
        ({"images": np.zeros((4, 5), np.uint8)}, "takes several pictures"),
        ({"images": "cat.jpg"}, "takes several pictures"),
        ({"images": [np.full((4, 5), 9.0)]}, "Picture 0: A picture of type"),
        ({"tags": "fish", "tags_each": ["star"]}, "tags or tags_each"),
        ({"tags_each": []}, "fewer entries than pictures"),
        ({"tags_each": ["star", "star"]}, "more entries than pictures"),
    ],
)
def test_what_is_not_many_is_refused(predictor, image, arguments, text):
    arguments = {"images": [image], "quality": Quality(), **arguments}
    with pytest.raises((ConfigError, DataError), match=text):
        list(predictor.predict_many(**arguments))
