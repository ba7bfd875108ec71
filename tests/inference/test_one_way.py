"""What is scored is what is served: all of them against each other.

`evaluate`, `Predictor`, `predict_files`, pseudo labels and the signatures of
the exported model give the same mask of a picture, to the pixel, in every
quality and by every kind of tags.
"""

import types

import numpy as np
import pytest
import tensorflow as tf
from readers import read_voc
from tiny import tiny_config
from tiny_prior import tiny_prior_config

from keras_wsss.config import split_of
from keras_wsss.data.images import read_image
from keras_wsss.data.masks import read_palette_mask
from keras_wsss.data.pseudo_masks import mask_path
from keras_wsss.errors import ConfigError
from keras_wsss.evaluation.evaluate import evaluate
from keras_wsss.evaluation.metrics.confusion import ConfusionMatrix
from keras_wsss.inference.one_picture import OnePicture
from keras_wsss.inference.picture_tags import read_picture_tags
from keras_wsss.inference.predict_files import Picture, predict_files
from keras_wsss.inference.predictor import Predictor
from keras_wsss.inference.pseudo_labels import (
    PseudoLabelOptions,
    write_pseudo_labels,
)
from keras_wsss.serving.options import ServingOptions
from keras_wsss.serving.signatures import ServingModule
from keras_wsss.systems.network import (
    assign_arrays,
    build_network,
    named_variables,
    read_arrays,
)
from keras_wsss.systems.quality import (
    RAW,
    Quality,
    View,
    augmented_views,
    choose_quality,
)

PICTURES = 3
# Float32 sums of the one graph are in another order than those of the
# predictor's functions, which may move a pixel that lies on a threshold. None
# was seen to; a picture of 64 x 64 may have four.
MOST_DIFFERENT = 1e-3
TRANSFERNET = ("raw", "raw + refined", "augmented", "augmented + refined")
PRIOR = (
    *TRANSFERNET,
    "raw + own CRF",
    "raw + own CRF + refined",
    "augmented + own CRF",
    "augmented + own CRF + refined",
)


def untaught(config) -> Predictor:
    """A network whose tagger is of two minds, so that views decide.

    Random weights, large enough for masks with edges and tags that differ
    between pictures and between the views of a picture.
    """
    tf.keras.utils.set_random_seed(3)
    split = split_of(config)
    net = build_network(config, split)
    named = named_variables(net, (*net.frozen_parts, *net.trained_parts))
    rng = np.random.default_rng(3)
    arrays = {
        name: array
        if array.ndim < 2
        else rng.normal(
            0, 1.6 / np.sqrt(np.prod(array.shape[:-1])), array.shape
        )
        for name, array in read_arrays(named).items()
    }
    assign_arrays(named, arrays, "random")
    return Predictor(net, split, config)


@pytest.fixture(scope="module", params=["transfernet", "prior"])
def predictor(request, shapes_dir):
    make = {"transfernet": tiny_config, "prior": tiny_prior_config}
    config = make[request.param](shapes_dir)
    predictor = untaught(config)
    records = read_voc(shapes_dir / "target", "val", predictor.split).records
    # Between the score that the views disagree most about.
    raw, mean = (
        np.array(
            [
                OnePicture(predictor, read_image(record.image_path)).tag_scores(
                    views
                )[np.array(predictor.split.scored_ids) - 1]
                for record in records[:PICTURES]
            ]
        )
        for views in (RAW, augmented_views(config.inference.scales))
    )
    place = np.unravel_index(np.abs(raw - mean).argmax(), raw.shape)
    config = config.replace(
        {"inference.tag_threshold": float((raw[place] + mean[place]) / 2)}
    )
    return Predictor(predictor.net, predictor.split, config)


@pytest.fixture(scope="module")
def records(predictor, shapes_dir):
    found = read_voc(shapes_dir / "target", "val", predictor.split).records
    return found[:PICTURES]


def qualities(predictor):
    """Every quality of a system, by its name."""
    has_crf = predictor.steps.has_crf
    return {
        quality.name: quality
        for augment in (False, True)
        for refine in (False, True)
        for crf in ((False, True) if has_crf else (None,))
        for quality in [choose_quality(predictor.steps, augment, refine, crf)]
    }


@pytest.fixture(scope="module")
def scored(predictor, records):
    """Picture -> name of a row -> mask that `evaluate` has scored."""
    kept = {}

    def add(name, image, truth, masks, *_):
        kept[name] = masks

    album = types.SimpleNamespace(add=add)
    results = evaluate(
        predictor, records, album=album, baselines=False, log=lambda _: 0
    )
    return kept, results


def test_every_quality_is_scored_and_one_is_the_default(predictor, scored):
    names = PRIOR if predictor.steps.has_crf else TRANSFERNET
    assert set(qualities(predictor)) == set(names)
    rows = [r for r in scored[1]["rows"] if r["tags"] != "none"]
    assert [(r["tags"], r["inference"]) for r in rows] == [
        (tags, name) for tags in ("oracle", "predicted") for name in names
    ]
    default = choose_quality(predictor.steps).name
    assert scored[1]["default"] == default
    assert [r["inference"] for r in rows if r["default"]] == [default] * 2


@pytest.mark.parametrize("tags", ["oracle", "predicted"])
def test_evaluate_scores_what_predictor_gives(predictor, records, scored, tags):
    for record in records:
        image, truth = read_image(record.image_path), record.mask.read()
        known = [i for i in predictor.split.scored_ids if np.any(truth == i)]
        for name, quality in qualities(predictor).items():
            asked = known if tags == "oracle" else None
            mask = predictor(
                image, asked, quality.views, quality.refine, quality.own_crf
            ).mask
            found = scored[0][record.image_id][f"{tags} {name}"]
            np.testing.assert_array_equal(found, mask, err_msg=name)


def test_without_tags_it_scores_what_all_targets_give(
    predictor, records, scored
):
    """No class gate; the row that the prior system alone has."""
    rows = [row for row in scored[1]["rows"] if row["tags"] == "none"]
    assert len(rows) == predictor.steps.has_crf
    split = predictor.split
    for row in rows:
        confusion = ConfusionMatrix(split.num_categories + 1)
        for record in records:
            mask = predictor(
                record.image_path, split.target_ids, RAW, False, False
            ).mask
            confusion.update(record.mask.read(), mask)
        found = confusion.mean_iou((0, *split.scored_ids))
        assert found == pytest.approx(row["mean_iou"], abs=1e-6)


def test_views_decide_here(predictor, records):
    """Else the tests above would hold for tags of any view."""
    tags = [
        [predictor(r.image_path, views=views).tags for r in records]
        for views in (RAW, augmented_views(predictor.steps.scales))
    ]
    assert tags[0] != tags[1]


def test_the_tagger_is_scored_by_the_defaults_views(predictor, records, scored):
    tagging = scored[1]["tagging"]
    assert tagging["views"] == "augmented"
    found = sum(s["predicted"] for s in tagging["per_category"].values())
    threshold = predictor.config.inference.tag_threshold
    own = np.array(predictor.split.scored_ids) - 1
    scores = [predictor(r.image_path).tag_scores[own] for r in records]
    assert found == np.count_nonzero(np.array(scores) >= threshold)
    raw = evaluate(
        predictor, records[:1], augment=False, refine=False, own_crf=False,
        baselines=False,
    )  # fmt: skip
    assert raw["tagging"]["views"] == "raw"
    assert not any(row["default"] for row in raw["rows"])


@pytest.mark.parametrize("tags", [None, ["fish", "star"]])
def test_predict_files_writes_what_predictor_gives(
    predictor, records, tags, tmp_path
):
    pictures = [Picture(r.image_path, r.image_id) for r in records]
    for name, quality in {**qualities(predictor), "": None}.items():
        out = tmp_path / (name or "default")
        predict_files(predictor, pictures, out, tags=tags, quality=quality)
        for picture in pictures:
            np.testing.assert_array_equal(
                read_palette_mask(out / "masks" / f"{picture.name}.png"),
                predictor.predict(picture.path, tags, quality).mask,
            )


def test_true_tags_of_a_file_give_the_oracle_row(
    predictor, records, scored, tmp_path
):
    """What predict writes for them scores as evaluate says."""
    split = predictor.split
    lines = ["image,labels"]
    for record in records:
        present = np.unique(record.mask.read())
        names = [split.name_of(i) for i in split.scored_ids if i in present]
        lines.append(f"{record.image_path.name},{';'.join(names)}")
    (tmp_path / "tags.csv").write_text("\n".join(lines))
    pictures = [Picture(r.image_path, r.image_id) for r in records]
    found = read_picture_tags(
        tmp_path / "tags.csv", pictures, [r.image_path for r in records], split
    )
    assert not found.untagged
    predict_files(predictor, pictures, tmp_path / "out", tags=found.ids)
    confusion = ConfusionMatrix(split.num_categories + 1)
    for record in records:
        mask = read_palette_mask(
            tmp_path / "out" / "masks" / f"{record.image_id}.png"
        )
        confusion.update(record.mask.read(), mask)
    (row,) = (
        r for r in scored[1]["rows"] if r["tags"] == "oracle" and r["default"]
    )
    classes = (0, *split.scored_ids)
    assert confusion.mean_iou(classes) == pytest.approx(
        row["mean_iou"], abs=1e-6
    )


def test_pseudo_labels_are_the_masks_of_known_tags(
    predictor, records, tmp_path
):
    for name, quality in qualities(predictor).items():
        settings = PseudoLabelOptions(quality, margin=0.1)
        write_pseudo_labels(predictor, records, tmp_path / name, settings, {})
        for record in records:
            found = read_palette_mask(
                mask_path(tmp_path / name, record.image_id)
            )
            expected = predictor.predict(
                record.image_path, record.labels, quality
            )
            sure = found != 255
            np.testing.assert_array_equal(found[sure], expected.mask[sure])
            assert sure.any()


def compare(answer, expected):
    """Tags, and all pixels but those that a rounding may move."""
    mask, ids = (part.numpy() for part in answer)
    assert tuple(ids[ids > 0]) == expected.tags
    assert np.mean(mask != expected.mask) <= MOST_DIFFERENT


def test_the_graph_gives_what_predictor_gives(predictor, records):
    """What every signature of an export calls for one picture.

    The default is compared in whole exports: tests/export/test_export.py and
    tests/test_prior_commands.py.
    """
    image = read_image(records[0].image_path)
    known = qualities(predictor)
    # Each part of a quality, with and without: a graph takes seconds.
    names = ["raw", "augmented", "raw + refined"]
    names += ["raw + own CRF + refined"] * predictor.steps.has_crf
    for name in names:
        quality = known[name]
        graph = tf.function(
            lambda image, ids, quality=quality: predictor.steps.segment(
                image, ids, quality
            ),
            autograph=False,
            input_signature=[
                tf.TensorSpec([None, None, 3], tf.uint8),
                tf.TensorSpec([None], tf.int32),
            ],
        )
        for tags in ((), predictor.tag_ids(["fish", "star"])):
            found = graph(image, tf.constant(tags, tf.int32))
            expected = predictor.predict(image, tags or None, quality)
            assert expected.mask.any(), name
            compare(found[:2], expected)


def test_where_the_tagger_finds_nothing_all_give_background(
    predictor, records, tmp_path, monkeypatch
):
    nothing = tf.zeros([0], tf.int32)
    steps = type(predictor.steps)
    monkeypatch.setattr(steps, "choose_tags", lambda self, scores: nothing)
    silent = Predictor(predictor.net, predictor.split, predictor.config)
    found = silent(records[0].image_path)
    assert found.tags == ()
    assert not found.mask.any()
    assert found.probabilities.shape[0] == 0
    kept = {}
    album = types.SimpleNamespace(add=lambda n, i, t, m, *_: kept.update(m))
    evaluate(silent, records[:1], album=album, log=lambda _: 0)
    assert len(kept) == 2 * len(qualities(silent))
    assert not any(m.any() for k, m in kept.items() if "predicted" in k)
    pictures = [Picture(records[0].image_path, "a")]
    assert predict_files(silent, pictures, tmp_path).written == 1
    assert not read_palette_mask(tmp_path / "masks" / "a.png").any()
    options = ServingOptions(max_tags=3, quality=Quality(refine=True))
    serve = ServingModule(silent.steps, options).signatures()
    files = tf.constant([records[0].image_path.read_bytes()])
    answer = serve["serving_default"](image_bytes=files)
    assert not answer["mask"].numpy().any()
    assert answer["tag_ids"].numpy().tolist() == [[0]]
    assert answer["tags"].numpy().tolist() == [[b""]]


def test_defaults_of_both_systems(predictor):
    views = augmented_views((1.0,))
    has_crf = predictor.steps.has_crf
    assert choose_quality(predictor.steps) == Quality(
        views, refine=not has_crf, own_crf=has_crf
    )
    plain = choose_quality(predictor.steps, augment=False, own_crf=False)
    assert plain == Quality(RAW, refine=True)
    if not has_crf:
        with pytest.raises(ConfigError, match="no CRF of its own"):
            choose_quality(predictor.steps, own_crf=True)


def test_dense_attention_is_augmented_at_its_one_scale(shapes_dir):
    config = tiny_config(shapes_dir)
    config = config.replace(
        {
            "model.attention": "dense",
            "inference.scales": (0.5, 1.0),
        }
    )
    split = split_of(config)
    dense = Predictor(build_network(config, split), split, config)
    quality = choose_quality(dense.steps)
    assert quality.views == (View(), View(mirror=True))
