"""Held-out tags: figures by hand, and what a run makes of them."""

from types import SimpleNamespace

import numpy as np
import pytest
from small_data import CAT, DOG, SPLIT
from tiny import read_json, tiny_config

from keras_wsss.checkpoints import (
    Checkpoint,
    list_checkpoints,
    load_checkpoint,
)
from keras_wsss.data.pictures import PictureStore
from keras_wsss.data.records import Record
from keras_wsss.inference.predictor import Predictor, augmented_views
from keras_wsss.systems.network import named_variables, read_arrays
from keras_wsss.systems.transfernet.heldout import encoding_of, tag_scorer
from keras_wsss.training.heldout_tags import HeldOutTags
from keras_wsss.training.loop import Loop
from keras_wsss.training.run import train


def _record(name, labels, uncertain=(), domain="target"):
    return Record(
        name, name, domain, labels, uncertain=uncertain, annotated=(CAT, DOG)
    )


def test_figures_of_tagged_pictures_and_negatives():
    tagged = [_record(f"{i}", (CAT,)) for i in range(10)]
    tagged += [_record("x", (DOG,), uncertain=(CAT,)), _record("none", ())]
    negatives = [_record(f"n{i}", (), domain="source") for i in range(11)]
    scores = np.zeros((len(tagged) + len(negatives), SPLIT.num_categories))
    scores[:10, CAT - 1] = 0.8
    scores[10, [CAT - 1, DOG - 1]] = [0.9, 0.8]  # "cat" may be right
    scores[12:, DOG - 1] = 0.3
    scores[12, DOG - 1] = 0.9  # one negative is mistaken
    found = HeldOutTags(
        SPLIT, tagged, negatives, lambda records: lambda: scores
    ).scores()
    assert (found["tagged"], found["without"]) == (11, 12)
    assert 0.3 < found["rule"]["none_threshold"] <= 0.8
    assert found["false_positives"] == pytest.approx(1 / 12)
    assert found["recall"] == 1
    assert found["precision"] == pytest.approx(11 / 12)
    assert found["per_category"]["cat"]["average_precision"] == 1


def test_nothing_is_said_without_pictures():
    assert HeldOutTags(SPLIT, (), (), None).scores() == {}


def test_a_run_scores_pictures_that_it_does_not_train_on(transfer_run):
    workdir, lines = transfer_run
    results = read_json(workdir / "results.json")
    heldout = read_json(workdir / "heldout.json")
    counts = results["data"]
    assert len(heldout["tagged"]) == counts["heldout_tagged_pictures"] > 0
    assert counts["target_pictures"] + len(heldout["tagged"]) == 16
    assert len(heldout["negatives"]) == counts["heldout_negatives"] > 0
    assert all(entry["labels"] for entry in heldout["tagged"])
    tags = results["heldout_tags"]
    assert tags["tagged"] == len(heldout["tagged"])
    assert tags["without"] == len(heldout["negatives"])
    assert tags == {
        k: v
        for k, v in read_json(workdir / "checkpoints/tagging.json").items()
        if k != "step"
    }
    assert any("held-out tags: mean_average_precision" in x for x in lines)


def test_scores_are_those_of_the_predictor(transfer_run, shapes_dir):
    predictor = Predictor.from_workdir(transfer_run[0])
    entries = read_json(transfer_run[0] / "heldout.json")["tagged"]
    records = [_record(entry["image"], ()) for entry in entries]
    net = predictor.net
    found = tag_scorer(net, records, PictureStore(), encoding_of(net))()
    for entry, scores in zip(entries, found, strict=True):
        expected = predictor(
            entry["image"], views=augmented_views((1.0,))
        ).tag_scores
        # Features are kept in half precision.
        np.testing.assert_allclose(expected, scores, atol=2e-3)


def test_the_best_checkpoint_is_kept_beside_the_last(shapes_dir, tmp_path):
    config = tiny_config(shapes_dir)
    config = config.replace(
        {
            "train.keep_best": True,
            "train.heldout_every": 3,
            "train.examples": 0,
        }
    )
    lines = []
    train(config, "decoder", tmp_path / "run", log=lines.append)
    reached = {
        int(line.split()[1]): float(line.split("mask_iou ")[1].split()[0])
        for line in lines
        if "held-out source: mask_iou" in line
    }
    # Before the first step it is scored too, but no mask has taught it yet.
    assert sorted(reached) == [0, 3, 6, 9, 12]
    del reached[0]
    (kept,) = list_checkpoints(tmp_path / "run" / "best")
    best = load_checkpoint(kept)
    assert best.meta["heldout"]["mask_iou"] == pytest.approx(
        max(reached.values()), abs=6e-4
    )
    assert reached[best.step] == max(reached.values())
    # Commands can name it.
    predictor = Predictor.from_workdir(
        tmp_path / "run", allow_untrained_decoder=True, checkpoint="best"
    )
    net = predictor.net
    for name, array in read_arrays(
        named_variables(net, net.trained_parts)
    ).items():
        np.testing.assert_array_equal(array, best.arrays[f"model/{name}"])


def test_a_better_step_replaces_the_one_that_was_best(tmp_path):
    loop = SimpleNamespace(
        settings=SimpleNamespace(warmup_steps=2),
        best=tmp_path,
        _checkpoint=lambda step, meta: Checkpoint(step, {}, meta),
    )

    def kept_after(step, score):
        Loop.keep_if_best(loop, step, {"mask_iou": score})
        found = map(load_checkpoint, list_checkpoints(tmp_path))
        return [(c.step, c.meta["heldout"]["mask_iou"]) for c in found]

    assert kept_after(2, 0.9) == []  # of the warm-up, which teaches no mask
    assert kept_after(400, 0.3) == [(400, 0.3)]
    assert kept_after(500, 0.2) == [(400, 0.3)]
    # After a kill, steps are repeated, and other threads round otherwise.
    assert kept_after(300, 0.4) == [(300, 0.4)]
    assert kept_after(300, 0.5) == [(300, 0.5)]
