"""The feature cache gives what the encoder gives, whatever happens to it."""

import dataclasses
import hashlib
import json
import os

import numpy as np
import pytest
import tensorflow as tf
from small_data import slots_of
from small_encoder import make_encoder, write_pictures

from keras_wsss.data import file_notes, preprocess
from keras_wsss.data.failures import iterate
from keras_wsss.data.images import read_image
from keras_wsss.data.pipeline import Stream, make_batches
from keras_wsss.data.sampling import PairSampler
from keras_wsss.data.views import ViewSpec
from keras_wsss.encoders.encoder import encoder_digest
from keras_wsss.errors import ConfigError, DataError
from keras_wsss.files import sha256
from keras_wsss.training import cache_index, feature_cache
from keras_wsss.training.feature_cache import FeatureCache

VIEWS = ViewSpec(32, resize_size=40, mirror=True)


def _quiet(line):
    del line


@pytest.fixture
def records(tmp_path):
    return write_pictures(tmp_path / "pictures", 5)


@pytest.fixture(scope="module")
def encoder():
    return make_encoder()


@pytest.fixture
def make_cache(tmp_path, encoder):
    def make(**changes):
        values = {"encoder": encoder, "views": VIEWS, "encoder_batch": 2}
        return FeatureCache(tmp_path / "cache", **{**values, **changes})

    return make


def _entries(cache):
    return sorted(cache.folder.glob("??/*.features"))


def _expected(encoder, record, view):
    """Encodes directly, in NumPy's and Keras' own ways."""
    image = read_image(record.image_path)
    square = preprocess.square_image(tf.constant(image), view.base).numpy()
    window = square[view.top :, view.left :][: view.size, : view.size]
    window = window[:, ::-1] if view.mirror else window
    inputs = preprocess.to_encoder_input(tf.constant(window)).numpy()
    return [x.numpy()[0] for x in encoder(inputs[None], training=False)]


@pytest.mark.parametrize(
    ("levels", "crops"), [((1, 2, 3, 4), 2), ((2, 3, 4), 0), ((), 1)]
)
def test_entries_are_the_encoders_outputs(
    make_cache, encoder, records, levels, crops
):
    cache = make_cache(levels=levels, crops=crops)
    cache.build(records, log=_quiet)
    assert cache.num_views == 2 * (1 + crops)
    again = make_cache(levels=levels, crops=crops)
    windows = set()
    for record in records:
        for number in range(cache.num_views):
            encoding = again.read(record, number)
            view = encoding.view
            assert view.mirror == number % 2
            assert view.base == (40 if number >= 2 else 32)
            windows.add((record.image_id, view.base, view.top, view.left))
            features, *maps = _expected(encoder, record, view)
            assert encoding.features.dtype == np.float16
            assert encoding.features.shape == again.features_shape
            np.testing.assert_allclose(
                encoding.features, features, rtol=1e-3, atol=1e-4
            )
            assert features.max() > 0.01
            for pool, kept in zip(levels, encoding.levels, strict=True):
                np.testing.assert_array_equal(kept, maps[pool - 1])
            image = read_image(record.image_path)
            assert (encoding.height, encoding.width) == image.shape[:2]
    assert len(windows) > len(records) * crops  # the windows differ
    assert again.results()["rebuilt"] == 0


def test_second_build_finds_everything(make_cache, records, monkeypatch):
    monkeypatch.setattr(feature_cache, "LOG_SECONDS", 0)
    lines = []
    first = make_cache()
    first.build(records, log=lines.append)
    assert lines[-2].startswith("feature cache: 10 of 10 views")
    assert "10 views, 0 MB; 0 were there (0%), 10 built" in lines[-1]
    results = first.results()
    assert (results["built"], results["hit_rate"]) == (10, 0)
    sizes = [path.stat().st_size for path in _entries(first)]
    assert len(sizes) == 10
    assert results["bytes"] == sum(sizes)
    assert results["built_per_second"] > 0
    second = make_cache()
    second.build(records, log=lines.append)
    assert "10 were there (100%), 0 built (0.0 a second)" in lines[-1]
    results = second.results()
    assert (results["built"], results["hit_rate"]) == (0, 1)


@pytest.mark.parametrize(
    "change",
    [
        {"encoder": make_encoder(seed=1)},
        {"encoder": make_encoder(scale=0.25)},
        {"views": ViewSpec(48, mirror=True)},
    ],
    ids=["weights", "feature scale", "input size"],
)
def test_what_the_entries_depend_on(make_cache, records, change):
    make_cache().build(records, log=_quiet)
    other = make_cache(**change)
    other.build(records, log=_quiet)
    assert other.results()["hits"] == 0


def test_what_the_entries_do_not_depend_on(make_cache, records):
    make_cache().build(records, log=_quiet)
    views = ViewSpec(32, resize_size=36, min_scale=0.5, mirror=True)
    other = make_cache(
        encoder=make_encoder(), views=views, seed=7, encoder_batch=3
    )
    other.build(records, log=_quiet)
    assert other.results()["hit_rate"] == 1


def test_windows_depend_on_seed_and_crop_settings(make_cache, records):
    make_cache(crops=1).build(records, log=_quiet)
    views = dataclasses.replace(VIEWS, resize_size=44)
    for other in (
        make_cache(crops=1, seed=1),
        make_cache(crops=1, views=views),
    ):
        other.build(records, log=_quiet)
        assert other.results()["hit_rate"] == 0.5  # the whole views


def test_preprocessing_version_and_picture_content_count(
    make_cache, records, monkeypatch
):
    make_cache().build(records, log=_quiet)
    data = records[0].image_path.read_bytes()
    records[0].image_path.write_bytes(records[1].image_path.read_bytes())
    swapped = make_cache()
    swapped.build(records, log=_quiet)
    np.testing.assert_array_equal(
        swapped.read(records[0], 0).features,
        swapped.read(records[1], 0).features,
    )
    records[0].image_path.write_bytes(data)
    monkeypatch.setattr(preprocess, "PREPROCESSING_VERSION", -1)
    newer = make_cache()
    newer.build(records, log=_quiet)
    assert newer.results()["hits"] == 0


def test_digest_ignores_names_and_trainable():
    first, second = make_encoder(), make_encoder()
    assert first.name != second.name
    second.trainable = False
    assert encoder_digest(first) == encoder_digest(second)
    weights = second.get_weights()
    weights[0][0, 0, 0, 0] += 1e-3
    second.set_weights(weights)
    assert encoder_digest(first) != encoder_digest(second)


def _truncate(path):
    os.truncate(path, path.stat().st_size - 1)


def _empty(path):
    path.write_bytes(b"")


def _flip_bit(path, position):
    data = bytearray(path.read_bytes())
    data[position] ^= 4
    path.write_bytes(data)


DAMAGES = {
    "size": _truncate,
    "empty": _empty,
    "magic": lambda path: _flip_bit(path, 2),
    "key": lambda path: _flip_bit(path, 20),
    "picture height": lambda path: _flip_bit(path, 40),
    "payload size": lambda path: _flip_bit(path, 48),
    "checksum": lambda path: _flip_bit(path, 57),
    "first of the features": lambda path: _flip_bit(path, 60),
    "last of the switches": lambda path: _flip_bit(path, -1),
}


def test_damage_is_seen_counted_and_repaired_when_read(make_cache, records):
    cache = make_cache()
    cache.build(records, log=_quiet)
    good = {path: path.read_bytes() for path in _entries(cache)}
    places = [(record, view) for record in records for view in range(2)]
    expected = [cache.read(*place) for place in places]
    for path, damage in zip(good, DAMAGES.values(), strict=False):
        damage(path)
    reader = make_cache()
    for place, one in zip(places, expected, strict=True):
        got = reader.read(*place)
        np.testing.assert_array_equal(got.features, one.features)
        for maps, other in zip(got.levels, one.levels, strict=True):
            np.testing.assert_array_equal(maps, other)
        assert (got.view, got.height) == (one.view, one.height)
    results = reader.results()
    assert results["damaged"] == results["rebuilt"] == len(DAMAGES)
    assert {path: path.read_bytes() for path in _entries(cache)} == good


def test_a_check_repairs_all_before_training(make_cache, records):
    cache = make_cache()
    cache.build(records, log=_quiet)
    good = {path: path.read_bytes() for path in _entries(cache)}
    for path, damage in zip(good, DAMAGES.values(), strict=False):
        damage(path)
    builder = make_cache(check=True)
    builder.build(records, log=_quiet)
    results = builder.results()
    assert results["damaged"] == results["built"] == len(DAMAGES)
    assert {path: path.read_bytes() for path in _entries(cache)} == good


def test_an_entry_under_another_name_is_not_taken_for_good(make_cache, records):
    cache = make_cache()
    cache.build(records, log=_quiet)
    first, second, *_ = _entries(cache)
    good = first.read_bytes()
    first.write_bytes(second.read_bytes())
    builder = make_cache(check=True)
    builder.build(records, log=_quiet)
    assert builder.results()["damaged"] == 1
    assert first.read_bytes() == good


def test_old_leftovers_are_removed_and_new_ones_kept(make_cache, records):
    cache = make_cache()
    cache.build(records, log=_quiet)
    entry = _entries(cache)[0]
    old = entry.with_name(f".{entry.name}.old.features")
    new = entry.with_name(f".{entry.name}.new.features")
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    cache.build(records, log=_quiet)
    assert not old.exists()
    assert new.exists()  # another worker may be writing it


def test_workers_share_the_building(make_cache, records):
    workers = [make_cache() for _ in range(2)]
    for index, worker in enumerate(workers):
        worker.build(records, index=index, count=2, log=_quiet)
    assert [w.results()["built"] for w in workers] == [6, 4]
    whole = make_cache()
    whole.build(records, log=_quiet)
    assert whole.results()["hit_rate"] == 1


def test_errors_name_the_picture_or_the_folder(make_cache, records, tmp_path):
    records[3].image_path.write_bytes(b"nonsense")
    with pytest.raises(DataError, match=r"3\.png"):
        make_cache().build(records, log=_quiet)
    records[3].image_path.unlink()
    with pytest.raises(DataError, match=r"3\.png"):
        make_cache().build(records, log=_quiet)
    blind = make_cache(encoder=make_encoder(scale=1e12))
    with pytest.raises(DataError, match=r"png: .* not finite"):
        blind.build(records[:2], log=_quiet)
    (tmp_path / "file").write_text("")
    blocked = FeatureCache(tmp_path / "file", make_encoder(), VIEWS)
    with pytest.raises(ConfigError, match="file cannot be written"):
        blocked.build(records[:2], log=_quiet)


def test_a_full_disk_is_told_before_work_begins(
    make_cache, records, monkeypatch
):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    with pytest.raises(ConfigError, match="GB more"):
        make_cache().build(records, log=_quiet)


def test_batches_from_the_cache(make_cache, encoder, records):
    cache = make_cache(crops=1, levels=(2, 3, 4))
    cache.build(records, log=_quiet)
    sampler = PairSampler(records, seed=3)
    stream = Stream(sampler, 4, VIEWS, num_categories=2, cache=cache)
    (batch,) = list(iterate(make_batches(target=stream, num_steps=1)))
    batch = batch["target"]
    assert batch["features"].shape == (4, 2, 2, 6)
    assert [maps.shape[1] for maps in batch["levels"]] == [8, 4, 2]
    seeds = slots_of(sampler, 0, 4).seed
    for row, index in enumerate(batch["record"].numpy()):
        encoding = cache.read(records[index], int(seeds[row] % 4))
        np.testing.assert_array_equal(batch["features"][row], encoding.features)
        for maps, expected in zip(
            batch["levels"], encoding.levels, strict=True
        ):
            np.testing.assert_array_equal(maps[row], expected)


def test_the_cache_changes_nothing_but_the_time(make_cache, encoder, records):
    views = ViewSpec(32, resize_size=32, mirror=False)
    sampler = PairSampler(records, seed=3)
    batches = []
    for cache in (None, make_cache(views=views)):
        stream = Stream(sampler, 4, views, num_categories=2, cache=cache)
        (batch,) = list(iterate(make_batches(source=stream, num_steps=1)))
        batches.append(batch["source"])
    plain, cached = batches
    features, *levels = encoder(plain.pop("image"), training=False)
    np.testing.assert_allclose(
        cached.pop("features"), features, rtol=1e-3, atol=1e-4
    )
    for maps, expected in zip(cached.pop("levels"), levels, strict=True):
        np.testing.assert_array_equal(maps, expected)
    assert plain.keys() == cached.keys()
    for name, value in plain.items():
        np.testing.assert_array_equal(value, cached[name])


def _picture_reads(monkeypatch):
    """Files whose digest is taken, in a list that grows."""
    read = []

    def noting(path):
        read.append(str(path))
        return sha256(path)

    monkeypatch.setattr(cache_index, "sha256", noting)
    return read


def _make_old(records):
    for record in records:
        os.utime(record.image_path, (1e9, 1e9))


def test_pictures_are_not_read_again_for_their_digests(
    make_cache, records, monkeypatch
):
    monkeypatch.setattr(file_notes, "FRESH_SECONDS", -1.0)
    read = _picture_reads(monkeypatch)
    make_cache().build(records, log=_quiet)
    assert len(read) == 5
    again = make_cache()
    again.build(records, log=_quiet)
    assert len(read) == 5
    assert again.results()["hits"] == 10
    make_cache(check=True).build(records, log=_quiet)
    assert len(read) == 10


@pytest.mark.parametrize("keep_times", [False, True])
def test_a_picture_that_changed_is_read_again(
    make_cache, records, monkeypatch, keep_times
):
    monkeypatch.setattr(file_notes, "FRESH_SECONDS", -1.0)
    _make_old(records)
    make_cache().build(records, log=_quiet)
    path = records[0].image_path
    data = bytearray(path.read_bytes())
    data += b"more"
    path.write_bytes(data)
    make_cache().build(records, log=_quiet)
    data[-1] ^= 1  # of the same size
    path.write_bytes(data)
    if keep_times:  # as `cp -p` and archives leave it
        os.utime(path, (1e9, 1e9))
    changed = make_cache()
    changed.build(records, log=_quiet)
    assert changed.results()["built"] == 2


def test_what_changed_just_now_is_not_believed(
    make_cache, records, monkeypatch
):
    read = _picture_reads(monkeypatch)
    for expected in (5, 10):
        make_cache().build(records, log=_quiet)
        assert len(read) == expected


@pytest.mark.parametrize(
    "damage", [b"", b"[]", b'{"kind": ["sha256", 1]}', b"[" * 99999, b"\xff"]
)
def test_damaged_digests_are_taken_again(
    make_cache, records, monkeypatch, damage
):
    monkeypatch.setattr(file_notes, "FRESH_SECONDS", -1.0)
    cache = make_cache()
    cache.build(records, log=_quiet)
    notes = cache.folder / "pictures.json"
    good = json.loads(notes.read_bytes())
    notes.write_bytes(damage)
    again = make_cache()
    again.build(records, log=_quiet)
    assert again.results()["hits"] == 10
    assert json.loads(notes.read_bytes()) == good


def test_two_processes_keep_each_others_digests(
    make_cache, records, monkeypatch
):
    monkeypatch.setattr(file_notes, "FRESH_SECONDS", -1.0)
    workers = [make_cache() for _ in range(2)]  # both know nothing
    for index, worker in enumerate(workers):
        worker.build(records, index=index, count=2, log=_quiet)
    read = _picture_reads(monkeypatch)
    make_cache().build(records, log=_quiet)
    assert read == []


@pytest.mark.parametrize("levels", [(), (3,), (2, 4)])
def test_entries_with_more_serve_those_who_need_less(
    make_cache, encoder, records, levels
):
    # Those of a first version, which wrote what it read.
    make_cache(levels=(2, 3, 4)).build(records, log=_quiet)
    reader = make_cache(levels=levels)
    reader.build(records, log=_quiet)
    assert reader.results()["hits"] == 10
    for record in records:
        encoding = reader.read(record, 1)
        features, *maps = _expected(encoder, record, encoding.view)
        np.testing.assert_allclose(
            encoding.features, features, rtol=1e-3, atol=1e-4
        )
        assert len(encoding.levels) == len(levels)
        for level, kept in zip(levels, encoding.levels, strict=True):
            np.testing.assert_array_equal(kept, maps[level - 1])
            assert reader.level_specs[levels.index(level)].shape == kept.shape
    assert reader.results()["rebuilt"] == 0


def test_a_phase_writes_what_the_next_one_needs(make_cache, records):
    first = make_cache(levels=(), written=(2, 4))
    first.build(records[:3], log=_quiet)
    # Reads of others are made with as much.
    assert first.read(records[4], 0).levels == ()
    second = make_cache(levels=(2, 4))
    second.build(records, log=_quiet)
    assert second.results()["hits"] == 7
    assert first.entry_size == second.entry_size
    assert [spec.shape[0] for spec in second.level_specs] == [8, 2]


def test_entries_of_earlier_versions_are_found(make_cache, records):
    """Their name is the digest of a text in which nothing may change."""
    cache = make_cache(crops=1, levels=(2, 4))
    digest = sha256(records[0].image_path)
    settings = json.loads(cache._index._text((2, 4)))
    seed = cache._index._crop_seed(records[0], 1)
    cut = [False, seed, VIEWS.resize_size, VIEWS.min_scale]
    for number, window in ((1, [True]), (2, cut)):
        text = json.dumps([settings, window, digest], sort_keys=True)
        key = hashlib.sha256(text.encode()).digest()
        assert cache._index.key(records[0], number, (2, 4)) == key


def test_some_views_alone(make_cache, records):
    cache = make_cache()
    cache.build(records, views=[0], log=_quiet)
    assert cache.results()["built"] == 5
    cache = make_cache()
    cache.build(records, log=_quiet)
    assert cache.results()["hits"] == 5


def test_a_missing_entry_is_made_while_batches_are_read(make_cache, records):
    cache = make_cache()
    stream = Stream(
        PairSampler(records), 5, VIEWS, num_categories=1, cache=cache
    )
    made = list(iterate(make_batches(source=stream, num_steps=3)))
    results = cache.results()
    assert 5 <= results["rebuilt"] <= 10
    assert results["rebuilt"] + results["reads"] == 15
    assert len(_entries(cache)) == results["rebuilt"]
    read = list(iterate(make_batches(source=stream, num_steps=3)))
    assert cache.results()["reads"] == results["reads"] + 15
    tf.nest.map_structure(np.testing.assert_array_equal, made, read)
