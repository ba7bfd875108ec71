"""Which records a config's training reads."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from tiny import SIZE, tiny_config

from keras_wsss.config import split_of
from keras_wsss.data.masks import write_palette_mask
from keras_wsss.errors import DataError
from keras_wsss.systems.transfernet.parts import build_caches
from keras_wsss.training.claim import pictures_of
from keras_wsss.training.inputs import (
    read_target_records,
    read_training_data,
)


@pytest.fixture
def one_large(shapes_dir, tmp_path):
    """A config with one target picture above its limit of pixels."""
    images = tmp_path / "images"
    shutil.copytree(shapes_dir / "target" / "JPEGImages", images)
    config = tiny_config(shapes_dir)
    config = config.replace(
        {
            "data.target_images": str(images),
            "data.max_pixels": SIZE * SIZE,
        }
    )
    data = read_training_data(config, with_target=True, with_source=False)
    path = data.target[0].image_path
    Image.new("RGB", (SIZE + 1, SIZE)).save(path)
    return config, str(path)


def test_the_limit_of_the_config_decides_what_is_skipped(one_large):
    config, path = one_large
    config = config.replace({"data.skip_bad_images": True})
    data = read_training_data(config, with_target=True, with_source=False)
    assert path not in {str(record.image_path) for record in data.target}
    assert data.counts["target_left_out"]["unreadable image"] == 1
    kept = ("target_pictures", "heldout_tagged_pictures")
    assert sum(data.counts[name] for name in kept) == 15


def test_pseudo_labels_leave_it_out_too(one_large):
    config, path = one_large
    config = config.replace({"data.skip_bad_images": True})
    records = read_target_records(config, split_of(config)).records
    assert path not in {str(record.image_path) for record in records}


def test_no_picture_left_says_why(shapes_dir):
    config = tiny_config(shapes_dir)
    config = config.replace({"data.min_pixels": SIZE * SIZE + 1})
    with pytest.raises(DataError, match=r"left to train on \(30 .*min_pixels"):
        read_training_data(config, with_target=False)


def test_crowds_alone_are_the_reason_why(shapes_dir, tmp_path):
    config = tiny_config(shapes_dir)
    content = json.loads(Path(config.data.source_annotations).read_text())
    for entry in content["annotations"]:
        entry["iscrowd"] = 1
    path = tmp_path / "crowds.json"
    path.write_text(json.dumps(content))
    config = config.replace({"data.source_annotations": str(path)})
    with pytest.raises(DataError, match=r"crowds of .*crowds_as_instances"):
        read_training_data(config, with_target=False)


def test_a_higher_limit_keeps_it(one_large):
    config, path = one_large
    config = config.replace(
        {
            "data.skip_bad_images": True,
            "data.max_pixels": (SIZE + 1) * SIZE,
        }
    )
    data = read_training_data(config, with_target=True, with_source=False)
    assert path in {str(record.image_path) for record in data.target}


def test_the_cache_keeps_switches_where_masks_are_drawn(shapes_dir):
    config = tiny_config(shapes_dir)
    job = SimpleNamespace(
        config=config,
        data=read_training_data(config, with_target=True),
        net=SimpleNamespace(used_levels=(4, 3)),
        encodings=lambda records, read, pictures, written: (read, written),
    )
    built = build_caches(job, (4, 3), None)
    # Those of targets for the pseudo labels of later.
    assert built == {"source": ((4, 3), (4, 3)), "target": ((), (4, 3))}
    # A phase that draws no masks keeps what the next one needs.
    built = build_caches(job, (), None)
    assert built == {"source": ((), (4, 3)), "target": ((), (4, 3))}
    job.config = config.replace({"cache.switches": False})
    built = build_caches(job, (4, 3), None)
    assert built == {"source": ((4, 3), (4, 3)), "target": ((), ())}


def test_a_category_that_no_picture_lacks_is_named(shapes_dir, tmp_path):
    config = tiny_config(shapes_dir)
    lines = Path(config.data.target_tags).read_text().splitlines()
    stars = [line for line in lines if "star" in line]
    tags = tmp_path / "tags.csv"
    tags.write_text("\n".join([lines[0], *stars]) + "\n")
    config = config.replace(
        {
            "data.target_tags": str(tags),
            "data.heldout_tags": 0.0,
            "data.source_negatives": "none",
        }
    )
    found = read_training_data(config, with_target=True).counts["never_absent"]
    assert found == ["star"]
    config = config.replace({"data.source_negatives": "listed"})
    data = read_training_data(config, with_target=True)
    assert data.counts["never_absent"] == []


def test_a_category_is_never_held_out_with_all_its_pictures(
    shapes_dir, tmp_path
):
    config = tiny_config(shapes_dir)
    config = config.replace({"data.heldout_tags": 0.9})
    data = read_training_data(config, with_target=True, with_source=False)
    everywhere = {i for r in data.heldout_tagged for i in r.labels}
    trained = {i for record in data.target for i in record.labels}
    assert data.heldout_tagged
    assert everywhere <= trained


def test_what_a_person_drew_is_never_held_out(shapes_dir, tmp_path):
    config = tiny_config(shapes_dir)
    before = read_training_data(config, with_target=True, with_source=False)
    held = before.heldout_tagged[0]
    with Image.open(held.image_path) as picture:
        blank = np.full(picture.size[::-1], 255, np.uint8)
    path = tmp_path / "SegmentationClass" / f"{held.image_id}.png"
    path.parent.mkdir()
    write_palette_mask(path, blank)
    (tmp_path / "classes.txt").write_text("star\n")
    config = config.replace({"data.target_masks": f"person:{tmp_path}"})
    data = read_training_data(config, with_target=True, with_source=False)
    assert [r.image_id for r in data.target if r.trusted] == [held.image_id]
    assert held.image_id not in {r.image_id for r in data.heldout_tagged}
    assert data.counts["persons_masks"]["pictures"] == 1
    assert pictures_of(data, config) != pictures_of(before, config)
