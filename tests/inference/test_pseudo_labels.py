"""Pseudo labels: what the command writes and what training takes of it."""

import dataclasses
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from pycocotools.coco import COCO
from tiny import SIZE, read_json, run_script, tiny_config

from keras_wsss.config import split_of
from keras_wsss.data.images import read_image
from keras_wsss.data.masks import read_palette_mask
from keras_wsss.data.pseudo_masks import MANIFEST, mask_path, with_pseudo_masks
from keras_wsss.data.views import ViewSpec
from keras_wsss.errors import ConfigError, DataError
from keras_wsss.inference.predictor import Predictor
from keras_wsss.inference.pseudo_labels import (
    PseudoLabelOptions,
    write_pseudo_labels,
)
from keras_wsss.systems.quality import Quality, augmented_views, choose_quality
from keras_wsss.training.inputs import (
    read_target_records,
    read_training_data,
)
from keras_wsss.training.run import train

PLAIN = PseudoLabelOptions(Quality(), margin=0.1)


@pytest.fixture(scope="module")
def records(shapes_dir):
    config = tiny_config(shapes_dir)
    return read_target_records(config, split_of(config)).records


@pytest.fixture(scope="module")
def folder(predictor, records, tmp_path_factory):
    out = tmp_path_factory.mktemp("pseudo") / "labels"
    write_pseudo_labels(predictor, records, out, PLAIN, {"weights": "w"})
    return out


def test_masks_hold_only_the_tags_and_leave_doubt_open(
    predictor, records, folder
):
    for record in records:
        mask = read_palette_mask(mask_path(folder, record.image_id))
        assert set(np.unique(mask)) <= {0, 255, *record.labels}
        image = read_image(record.image_path)
        prediction = predictor.predict(image, record.labels, Quality())
        unsure = np.abs(prediction.probabilities.max(axis=0) - 0.5) < 0.1
        np.testing.assert_array_equal(mask == 255, unsure)
        np.testing.assert_array_equal(mask[~unsure], prediction.mask[~unsure])


def test_manifest_counts_what_is_there(folder, records):
    manifest = read_json(folder / MANIFEST)
    assert manifest["complete"] is True
    assert manifest["pictures"] == manifest["written"] == len(records)
    pixels = sum(
        read_palette_mask(mask_path(folder, r.image_id)).size for r in records
    )
    ignored = round(manifest["ignored"] * pixels)
    assert sum(manifest["pixels"].values()) + ignored == pixels
    listed = (folder / "ImageSets/Segmentation/train.txt").read_text()
    assert listed.split() == [record.image_id for record in records]


def test_goes_on_where_it_stopped(predictor, records, folder, tmp_path):
    out = Path(shutil.copytree(folder, tmp_path / "labels"))
    missing = mask_path(out, records[3].image_id)
    kept = mask_path(out, records[0].image_id)
    before = missing.read_bytes(), kept.stat().st_mtime_ns
    missing.unlink()
    manifest = write_pseudo_labels(
        predictor, records, out, PLAIN, {"weights": "w"}
    )
    assert manifest["written"] == 1
    assert (missing.read_bytes(), kept.stat().st_mtime_ns) == before


def test_masks_of_other_tags_are_made_again(
    predictor, records, folder, tmp_path
):
    out = Path(shutil.copytree(folder, tmp_path / "labels"))
    other = set(predictor.split.target_ids) - set(records[0].labels)
    other = sorted(other)
    changed = dataclasses.replace(records[0], labels=(other[0],))
    manifest = write_pseudo_labels(
        predictor, [changed, *records[1:]], out, PLAIN, {"weights": "w"}
    )
    assert manifest["written"] == 1
    mask = read_palette_mask(mask_path(out, changed.image_id))
    assert set(np.unique(mask)) <= {0, 255, other[0]}


def test_they_are_written_in_other_formats_without_work(
    predictor, records, folder, tmp_path
):
    out = Path(shutil.copytree(folder, tmp_path / "labels"))
    manifest = write_pseudo_labels(
        predictor,
        records,
        out,
        PLAIN,
        {"weights": "w"},
        formats=["coco", "cvat", "labelstudio"],
    )
    assert manifest["written"] == 0
    coco = COCO(out / "coco_instances.json")
    assert len(coco.imgs) == len(records)
    painted = {}
    for entry in coco.anns.values():
        name = coco.imgs[entry["image_id"]]["file_name"]
        painted[name, entry["category_id"]] = coco.annToMask(entry)
    for record in records:
        mask = read_palette_mask(mask_path(out, record.image_id))
        for number in set(np.unique(mask)) - {0, 255}:
            name = record.image_path.name
            np.testing.assert_array_equal(painted[name, number], mask == number)
    assert all(0 <= a["score"] <= 1 for a in coco.anns.values())


def test_two_pictures_never_share_a_mask(predictor, records, tmp_path):
    name = records[0].image_id.upper()
    twin = dataclasses.replace(records[1], image_id=name)
    with pytest.raises(DataError, match="its mask would have the name of"):
        write_pseudo_labels(
            predictor, [records[0], twin], tmp_path / "o", PLAIN, {}
        )
    assert not (tmp_path / "o").exists()


def test_masks_of_another_model_are_not_mixed(predictor, records, folder):
    with pytest.raises(ConfigError, match="another model"):
        write_pseudo_labels(predictor, records, folder, PLAIN, {"weights": "x"})


def test_training_takes_nothing_but_pseudo_labels(shapes_dir, folder, tmp_path):
    config = tiny_config(shapes_dir)
    config = config.replace(
        {"data.target_masks": config.data.eval_root}  # the true masks
    )
    with pytest.raises(DataError, match="must be pseudo labels"):
        read_training_data(config, with_target=True)
    config = config.replace(
        {"data.target_masks": str(shutil.copytree(folder, tmp_path / "half"))}
    )
    path = tmp_path / "half" / MANIFEST
    path.write_text(path.read_text().replace("true", "false", 1))
    with pytest.raises(DataError, match="not complete"):
        read_training_data(config, with_target=True)


def test_a_picture_without_pseudo_label_is_named(
    records, folder, shapes_dir, tmp_path
):
    out = Path(shutil.copytree(folder, tmp_path / "labels"))
    mask_path(out, records[2].image_id).unlink()
    config = tiny_config(shapes_dir)
    config = config.replace({"data.target_masks": str(out)})
    with pytest.raises(DataError, match=records[2].image_id):
        read_training_data(config, with_target=True)


def test_another_split_reads_the_categories_by_name(folder, records):
    split = split_of(tiny_config("."))
    names = (folder / "classes.txt").read_text().split("\n")[:-1]
    (folder / "classes.txt").write_text("\n".join(names[::-1]) + "\n")
    try:
        reader = with_pseudo_masks(
            read_like(records[:1]), folder, split, 10**7
        ).records[0]
        mask = read_palette_mask(mask_path(folder, records[0].image_id))
        turned = np.where(
            (mask > 0) & (mask < 255), len(names) + 1 - mask, mask
        )
        np.testing.assert_array_equal(reader.mask.read(), turned)
    finally:
        (folder / "classes.txt").write_text("\n".join(names) + "\n")


@pytest.mark.usefixtures("eager")
def test_pixels_of_what_the_split_lacks_are_ignored_and_said(
    shapes_dir, decoder_run, folder, tmp_path
):
    """Whatever their order was in the run that made the masks."""
    config = tiny_config(shapes_dir)
    split = split_of(config)
    config = config.replace(
        {
            "split.name": "own",
            "split.source": split.source,
            "split.target": ("comet", *split.target[:0:-1]),  # without arrow
        }
    )
    lines = Path(config.data.target_tags).read_text().replace("arrow", "comet")
    (tmp_path / "tags.csv").write_text(lines)
    config = config.replace(
        {
            "data.target_tags": str(tmp_path / "tags.csv"),
            "data.target_masks": str(folder),
            "phases.transfer.steps": 1,
            "train.examples": 0,
        }
    )
    shown = read_json(folder / MANIFEST)["pictures_with"]["arrow"]
    told = []
    results = train(
        config, "transfer", tmp_path / "run", decoder_run[0],
        log=told.append,
    )  # fmt: skip
    assert results["data"]["pseudo_labels_ignored"] == {"arrow": shown}
    assert any(f"no category here: arrow ({shown} pictu" in t for t in told)
    data = read_training_data(config, with_target=True)
    assert data.target
    for record in data.target:
        mask = read_palette_mask(mask_path(folder, record.image_id))
        found = record.mask.read()
        for index in np.unique(mask):
            name = split.name_of(index) if 0 < index < 255 else None
            expected = 255 if name == "arrow" else index
            if name not in (None, "arrow"):
                expected = data.split.id_of(name)
            assert set(found[mask == index]) == {expected}


def test_masks_without_their_names_are_refused(shapes_dir, folder, tmp_path):
    """They would be read as VOC's."""
    config = tiny_config(shapes_dir)
    config = config.replace(
        {"data.target_masks": str(shutil.copytree(folder, tmp_path / "labels"))}
    )
    (tmp_path / "labels" / "classes.txt").unlink()
    with pytest.raises(DataError, match=r"classes\.txt: no such file, so noth"):
        read_training_data(config, with_target=True)


def test_masks_whose_pixels_nobody_counted_are_said_too(
    shapes_dir, folder, tmp_path
):
    labels = Path(shutil.copytree(folder, tmp_path / "labels"))
    (labels / MANIFEST).write_text('{"complete": true, "pictures_with": 3}')
    names = (labels / "classes.txt").read_text()
    (labels / "classes.txt").write_text(names.replace("fish", "comet"))
    config = tiny_config(shapes_dir)
    config = config.replace({"data.target_masks": str(labels)})
    counts = read_training_data(config, with_target=True).counts
    assert counts["pseudo_labels_ignored"] == {"comet": None}


def read_like(records):
    from keras_wsss.data.records import Dataset

    return Dataset(tuple(records))


@pytest.mark.usefixtures("eager")
def test_training_goes_on_with_them(shapes_dir, transfer_run, folder, tmp_path):
    results = {}
    for name, masks in (("with", str(folder)), ("without", "")):
        config = tiny_config(shapes_dir)
        config = config.replace(
            {
                "train.overlap_weight": 1.0,
                "data.target_masks": masks,
                "phases.transfer.steps": 3,
                "train.examples": 0,
            }
        )
        results[name] = train(
            config,
            "transfer",
            tmp_path / name,
            init_from=transfer_run[0],
            log=lambda line: None,
        )
    # The first batch's pairs differ only by the target pictures' masks.
    assert results["with"]["data"]["target_pairs"] > 0
    one = Predictor.from_workdir(tmp_path / "with").net.decoder.get_weights()
    two = Predictor.from_workdir(tmp_path / "without").net.decoder.get_weights()
    assert any((a != b).any() for a, b in zip(one, two, strict=True))


def test_command_writes_and_repeats(transfer_run, predictor, records, tmp_path):
    flags = ("--workdir", transfer_run[0], "--out", tmp_path / "labels")
    first = run_script("pseudo_labels.py", *flags, "--norefine")
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("Computing on ")
    assert "Written:" in first.stdout
    manifest = read_json(tmp_path / "labels" / MANIFEST)
    assert manifest["complete"] is True
    quality = choose_quality(predictor.steps, refine=False)
    for record in records[:3]:
        mask = read_palette_mask(
            mask_path(tmp_path / "labels", record.image_id)
        )
        image = read_image(record.image_path)
        expected = predictor.predict(image, record.labels, quality).mask
        np.testing.assert_array_equal(
            mask, np.where(mask == 255, 255, expected)
        )
    again = run_script("pseudo_labels.py", *flags, "--norefine")
    assert again.returncode == 0, again.stderr
    assert f"Written: 0 of {len(records)} masks" in again.stdout
    other = run_script("pseudo_labels.py", *flags)  # refined: other masks
    assert other.returncode != 0
    assert "another model or with other settings" in other.stderr
    assert "Traceback" not in other.stderr


def test_a_cache_without_mirrored_views_is_refused(
    predictor, records, tmp_path
):
    cache = SimpleNamespace(views=ViewSpec(SIZE, SIZE, mirror=False))
    settings = PseudoLabelOptions(Quality(augmented_views((1.0,))), 0.1)
    with pytest.raises(ConfigError, match=r"no mirrored views; give --noaug"):
        write_pseudo_labels(
            predictor, records, tmp_path / "o", settings, {}, cache
        )
    assert not (tmp_path / "o").exists()
