"""Large pictures in tiles: layout, blending, one way for everyone, memory."""

import dataclasses
import json
import types
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image
from tiny import run_script

from keras_wsss.data.images import read_image
from keras_wsss.data.masks import read_palette_mask
from keras_wsss.data.pseudo_masks import mask_path
from keras_wsss.data.records import Record
from keras_wsss.errors import ConfigError
from keras_wsss.evaluation.evaluate import evaluate
from keras_wsss.inference import tiles
from keras_wsss.inference.one_picture import OnePicture
from keras_wsss.inference.predict_files import Picture, predict_files
from keras_wsss.inference.predictor import Predictor
from keras_wsss.inference.pseudo_labels import (
    PseudoLabelOptions,
    write_pseudo_labels,
)
from keras_wsss.inference.tile_layout import lay_tiles
from keras_wsss.inference.tiles import TiledPicture
from keras_wsss.systems.quality import Quality, Tiling, choose_quality


@pytest.mark.parametrize("overlap", [0, 0.1, 0.25, 0.375, 0.5])
def test_weights_sum_to_one_whatever_the_size(overlap):
    tiling = Tiling(64, overlap)
    for length in (1, 31, 63, 64, 65, 66, 97, 100, 128, 129, 200, 777, 2048):
        axis = lay_tiles(length, tiling)
        total = np.zeros(length)
        for number, weights in enumerate(axis.weights):
            span = axis.span(number)
            assert 0 <= span.start <= span.stop <= length
            assert (weights >= 0).all()
            total[span] += weights
            # A block has all of the picture that its two tiles say.
            shown = span.start + np.flatnonzero(weights)
            end = axis.edges[min(number + 2, len(axis.starts))]
            assert axis.edges[number] <= shown.min()
            assert shown.max() < end
        np.testing.assert_allclose(total, 1, atol=1e-6)
        assert axis.size == min(64, length)


def test_tiles_have_the_overlap_that_was_asked_for():
    for length in (65, 100, 500):
        axis = lay_tiles(length, Tiling(64, 0.25))
        assert (np.diff(axis.starts) <= 64 - 16).all()
        assert axis.starts[0] == 0
        assert axis.starts[-1] + 64 == length


def test_weights_have_no_steps():
    axis = lay_tiles(500, Tiling(64, 0.375))
    for weights in axis.weights[1:-1]:
        # The steepest of a smooth ramp is 1.5 times that of a straight one.
        assert np.abs(np.diff(weights)).max() < 1.6 / 24
        assert max(weights[0], weights[-1]) < 0.02


class _Looks:
    """Stands in for `OnePicture`: `say(image)` gives scores and planes."""

    def __init__(self, predictor, image, say):
        self.image, self._say = image, say
        self._count = predictor.split.num_categories

    def tag_scores(self, views):
        scores = np.zeros(self._count, np.float32)
        for number, (score, _) in self._say(self.image).items():
            scores[number - 1] = score
        return scores

    def planes(self, ids, quality):
        import tensorflow as tf

        said = self._say(self.image)
        shape = self.image.shape[:2]
        planes = np.stack(
            [np.broadcast_to(said.get(i, (0, 0.0))[1], shape) for i in ids]
        ).astype(np.float32)
        return tf.constant(planes), tf.constant(planes)


def tiled(predictor, image, say):
    return TiledPicture(
        predictor, image, Tiling(64), lambda part: _Looks(predictor, part, say)
    )


@pytest.mark.parametrize("size", [(65, 64), (300, 201), (40, 500)])
def test_a_constant_has_no_seams(predictor, size):
    number = predictor.split.scored_ids[0]
    image = np.full((*size, 3), 100, np.uint8)
    picture = tiled(predictor, image, lambda _: {number: (1.0, 0.75)})
    found = picture.predict(None, Quality())
    assert found.tags == (number,)
    assert (found.mask == number).all()
    np.testing.assert_allclose(found.foreground, 0.75, atol=2e-3)
    assert found.region_scores == {number: pytest.approx(0.75, abs=2e-3)}


def test_a_tile_is_asked_for_what_it_names_alone(predictor):
    """What is only at the left is looked for there, and only there."""
    first, second = predictor.split.scored_ids[:2]
    image = np.zeros((64, 300, 3), np.uint8)
    image[:, 200:] = 200

    def say(part):
        bright = part[..., 0] > 100
        return {
            first: (1.0 - bright.mean(), np.where(bright, 0.0, 0.9)),
            second: (bright.mean(), np.where(bright, 0.9, 0.0)),
        }

    found = tiled(predictor, image, say).predict(None, Quality())
    assert found.tags == tuple(sorted((first, second)))
    assert (found.mask[:, :170] == first).all()
    assert (found.mask[:, 230:] == second).all()
    # Given tags are looked for by the same scores, and no other is.
    found = tiled(predictor, image, say).predict([second], Quality())
    assert found.tags == (second,)
    assert not found.mask[:, :150].any()
    assert (found.mask[:, 230:] == second).all()
    found = tiled(predictor, image, say).predict([], Quality())
    assert found.tags == ()
    assert not found.mask.any()


def test_a_given_tag_is_looked_for_where_it_scores_highest(predictor):
    number = predictor.split.scored_ids[0]
    image = np.zeros((64, 300, 3), np.uint8)
    image[:, 250:] = 200

    def say(part):
        bright = float((part[..., 0] > 100).mean())
        return {number: (1e-3 * bright, 0.9 if bright else 0.0)}

    assert not tiled(predictor, image, say).predict(None, Quality()).tags
    found = tiled(predictor, image, say).predict([number], Quality())
    assert (found.mask[:, 270:] == number).all()
    assert not found.mask[:, :200].any()


@pytest.fixture
def large():
    """An object of 160 pixels beside 96 of nothing, uint8 [256, 256, 3]."""
    image = np.zeros((256, 256, 3), np.uint8)
    image[:, :160] = 200
    return image


def of_bright(number, score_of_whole, score_of_edge=0.0, others=0.0):
    """Says where it is bright; scores of what shows whole, edge or less."""

    def say(part):
        bright = part[..., 0] > 100
        share = bright.mean()
        score = others
        if share == 0.625:  # as in the picture as a whole
            score = score_of_whole
        elif 0 < share < 1:
            score = score_of_edge
        return {number: (score, np.where(bright, 0.9, 0.0))}

    return say


def assert_all_of_it(found, number):
    assert found.tags == (number,)
    assert (found.mask[:, :150] == number).all()
    assert not found.mask[:, 170:].any()


def test_an_object_larger_than_a_tile(predictor, large):
    """What no tile knows, and what tiles know at its edge alone."""
    number = predictor.split.scored_ids[0]
    for edge in (0.0, 0.6):
        say = of_bright(number, 0.95, edge)
        found = tiled(predictor, large, say).predict(None, Quality())
        assert_all_of_it(found, number)
        assert (found.foreground[:, :150] > 0.8).all()


def test_a_given_tag_that_no_tile_names(predictor, large):
    number = predictor.split.scored_ids[0]
    say = of_bright(number, 0.1, 0.05, 0.02)
    assert not tiled(predictor, large, say).predict(None, Quality()).tags
    found = tiled(predictor, large, say).predict([number], Quality())
    assert_all_of_it(found, number)


def test_the_whole_does_not_overrule_tiles_that_know_better(predictor, large):
    number = predictor.split.scored_ids[0]
    say = of_bright(number, 0.9, 0.95)
    for tags in (None, [number]):
        found = tiled(predictor, large, say).predict(tags, Quality())
        assert (found.mask[:, 150:158] == number).all()
        # Tiles that named nothing there are believed.
        assert not found.mask[:, :60].any()


def test_no_plane_of_the_whole_picture_is_kept(predictor, monkeypatch):
    """Blocks and what waits below them are as large as a row of tiles."""
    ids = predictor.split.scored_ids
    kept, blocks = [], []
    below, add_to = tiles._Shown.below, tiles._Shown.add_to

    def watched_below(self, row):
        left = below(self, row)
        if left is not None:
            kept.append(left.planes)
            assert left.planes.base is None  # nothing else of it is alive
        return left

    def watched_add(self, planes, asked, places, block):
        blocks.append(planes.shape)
        return add_to(self, planes, asked, places, block)

    monkeypatch.setattr(tiles._Shown, "below", watched_below)
    monkeypatch.setattr(tiles._Shown, "add_to", watched_add)
    image = np.zeros((400, 300, 3), np.uint8)
    say = dict.fromkeys(ids, (1.0, 0.6))
    found = tiled(predictor, image, lambda _: say).predict(None, Quality())
    assert found.probabilities is None
    assert found.foreground.dtype == np.float16
    assert found.foreground.shape == found.mask.shape == (400, 300)
    assert max(shape[2] * shape[3] for shape in blocks) <= 64 * 64
    overlap = max(planes.shape[2] for planes in kept)
    assert overlap <= 0.6 * 64
    assert {planes.dtype for planes in kept} == {np.dtype(np.float16)}


@pytest.fixture(scope="module")
def mosaic(shapes_dir):
    """Twelve pictures side by side, uint8 [192, 256, 3]."""
    paths = sorted((shapes_dir / "target" / "JPEGImages").glob("*.jpg"))[:12]
    pictures = [read_image(path)[:64, :64] for path in paths]
    return np.concatenate(
        [np.concatenate(pictures[4 * row :][:4], 1) for row in range(3)], 0
    )


def test_pictures_no_larger_than_a_tile_are_not_cut(predictor, mosaic):
    for image in (mosaic[:64, :64], mosaic[:50, :40]):
        whole = predictor(image)
        cut = predictor(image, tile=64)
        np.testing.assert_array_equal(whole.mask, cut.mask)
        np.testing.assert_array_equal(whole.probabilities, cut.probabilities)


def test_without_tiles_quality_and_its_notes_are_as_before(predictor):
    quality = choose_quality(predictor.steps)
    assert quality.tiling is None
    assert quality.to_dict() == {
        key: value
        for key, value in dataclasses.asdict(quality).items()
        if key != "tiling"
    }
    assert "tiles" not in quality.name
    assert "tiling" not in PseudoLabelOptions(quality, 0.1).to_dict()


def test_every_part_of_a_mosaic_is_looked_at(predictor, mosaic):
    """Tiles without overlap are the pictures alone, but for the context."""
    quality = Quality(tiling=Tiling(64, 0.0))
    picture = OnePicture(predictor, mosaic)
    scores = picture.tag_scores(quality.views, quality.tiling)
    alone = [
        OnePicture(predictor, mosaic[y : y + 64, x : x + 64]).tag_scores(
            quality.views
        )
        for y in range(0, 192, 64)
        for x in range(0, 256, 64)
    ]
    whole = picture.tag_scores(quality.views)
    assert scores.shape == whole.shape
    assert (scores >= np.max(alone, axis=0) - 1e-6).all()


def test_the_input_of_the_network_is_the_side_of_0(predictor):
    size = predictor.config.image.size
    assert choose_quality(predictor.steps, tile=0).tiling == Tiling(size)
    quality = choose_quality(predictor.steps, tile=100, tile_overlap=0.5)
    assert quality.tiling == Tiling(100, 0.5)
    assert quality.name.endswith("tiles of 100")


@pytest.mark.parametrize(
    "arguments", [{"tile": 8}, {"tile": 64, "tile_overlap": 0.6},
                  {"tile_overlap": 0.25}]
)  # fmt: skip
def test_tiles_of_no_use_are_refused(predictor, arguments):
    with pytest.raises(ConfigError, match=r"[Tt]ile"):
        choose_quality(predictor.steps, **arguments)


def test_all_ways_give_the_mask_of_the_predictor(predictor, mosaic, tmp_path):
    path = tmp_path / "mosaic.png"
    Image.fromarray(mosaic).save(path)
    quality = choose_quality(predictor.steps, tile=64, tile_overlap=0.25)
    known = predictor.split.scored_ids[:3]
    expected = predictor(path, known, tile=64, tile_overlap=0.25)
    assert expected.mask.any()
    predict_files(
        predictor,
        [Picture(path, "mosaic")],
        tmp_path / "out",
        tags=known,
        quality=quality,
        made_by="a test",
    )
    np.testing.assert_array_equal(
        read_palette_mask(tmp_path / "out/masks/mosaic.png"), expected.mask
    )
    (many,) = predictor.predict_many([path], known, quality, batch=4)
    np.testing.assert_array_equal(many.mask, expected.mask)
    told = json.loads((tmp_path / "out/predictions.json").read_text())
    assert told["options"]["tiling"] == {"side": 64, "overlap": 0.25}
    # With these tiles it is there, without them it is made again.
    again = predict_files(
        predictor,
        [Picture(path, "mosaic")],
        tmp_path / "out",
        tags=known,
        quality=quality,
        made_by="a test",
    )
    assert (again.written, again.there) == (0, 1)
    whole = predict_files(
        predictor,
        [Picture(path, "mosaic")],
        tmp_path / "out",
        tags=known,
        made_by="a test",
    )
    assert whole.written == 1


class _Mask(NamedTuple):
    """A reader of one mask."""

    mask: np.ndarray

    def read(self):
        return self.mask


@pytest.fixture(scope="module")
def record(predictor, mosaic, tmp_path_factory):
    """The mosaic with a mask of two scored categories."""
    path = tmp_path_factory.mktemp("mosaic") / "mosaic.png"
    Image.fromarray(mosaic).save(path)
    labels = predictor.split.scored_ids[:2]
    mask = np.zeros(mosaic.shape[:2], np.uint8)
    mask[:100, :100], mask[100:, 100:] = labels
    return Record("mosaic", path, "target", labels, _Mask(mask))


def test_evaluate_scores_the_mask_of_the_predictor(predictor, record):
    kept = {}
    album = types.SimpleNamespace(
        add=lambda name, image, truth, masks, *_: kept.update(masks)
    )
    results = evaluate(
        predictor, [record], tile=64, baselines=False, album=album
    )
    name = results["default"]
    assert name.endswith("tiles of 64")
    rows = {(r["tags"], r["inference"]): r for r in results["rows"]}
    assert rows["oracle", name]["default"]
    for kind, tags in (("oracle", record.labels), ("predicted", None)):
        expected = predictor(record.image_path, tags, tile=64)
        np.testing.assert_array_equal(kept[f"{kind} {name}"], expected.mask)
    with pytest.raises(ConfigError, match="--dense_crf"):
        evaluate(predictor, [record], tile=64, dense_crf=True)


def test_pseudo_labels_leave_open_what_is_unsure(predictor, record, tmp_path):
    quality = choose_quality(predictor.steps, tile=64)
    settings = PseudoLabelOptions(quality, margin=0.1)
    assert settings.to_dict()["tiling"] == {"side": 64, "overlap": 0.5}
    write_pseudo_labels(predictor, [record], tmp_path / "out", settings, {})
    found = read_palette_mask(mask_path(tmp_path / "out", "mosaic"))
    expected = predictor(record.image_path, record.labels, tile=64)
    threshold = predictor.config.inference.mask_threshold
    unsure = np.abs(expected.foreground - threshold) < 0.1
    np.testing.assert_array_equal(found == 255, unsure)
    np.testing.assert_array_equal(found[~unsure], expected.mask[~unsure])


def test_the_command_cuts_and_keeps_the_limit_of_pixels(
    transfer_run, record, tmp_path
):
    def predict(*flags):
        return run_script(
            "predict.py",
            f"--workdir={transfer_run[0]}",
            f"--out={tmp_path}/out",
            "--tile=64",
            "--tile_overlap=0.25",
            *flags,
            str(record.image_path),
        )

    done = predict("--max_pixels=40000")
    assert done.returncode == 1
    assert "raise --max_pixels" in done.stderr
    done = predict()
    assert done.returncode == 0, done.stderr
    mask = read_palette_mask(tmp_path / "out" / "masks" / "mosaic.png")
    predictor = Predictor.from_workdir(transfer_run[0])
    expected = predictor(record.image_path, tile=64, tile_overlap=0.25)
    assert np.mean(mask != expected.mask) < 1e-3
