"""Processes that paint ahead give what one process gives."""

import dataclasses

import pytest
from readers import read_coco
from small_data import SPLIT, annotation, box, document, write_coco

from keras_wsss.data import painting, visible_labels
from keras_wsss.data.formats.coco_json import read_coco_file
from keras_wsss.data.formats.instances import evaluation_records
from keras_wsss.data.instance_masks import InstanceMask
from keras_wsss.errors import DataError

COUNT = 23


@pytest.fixture
def content():
    """Cups on bears, of which some are seen, and crowds."""
    annotations = []
    for image in range(1, COUNT + 1):
        for number, name in enumerate(("cup", "teddy bear", "cat", "cup")):
            side = 6 + (3 * number + 5 * image) % 17
            crowd = int(number == 3 and image % 4 == 0)
            shape = [box(5, 5, 5 + side, 5 + side)]
            annotations.append(
                annotation(len(annotations), image, name, shape, crowd)
            )
    return document({i + 1: (40, 40) for i in range(COUNT)}, annotations)


@pytest.fixture
def places(tmp_path, content):
    return write_coco(tmp_path, content)


@pytest.fixture
def own(monkeypatch):
    """Calls of this process that compare outlines."""
    calls = []
    plain = InstanceMask.visible

    def visible(mask, *args):
        calls.append(mask.image.id)
        return plain(mask, *args)

    monkeypatch.setattr(InstanceMask, "visible", visible)
    return calls


@pytest.fixture
def two(monkeypatch):
    """Two processes, of few pictures at a time; they, once they are there."""
    started = []

    class Process(painting._Process):
        def __init__(self, about):
            super().__init__(about)
            started.append(self._process)

    monkeypatch.setattr(painting, "_Process", Process)
    monkeypatch.setattr(painting, "TOGETHER", 4)
    monkeypatch.setattr(visible_labels, "_FEWEST", 1)
    monkeypatch.setattr(visible_labels, "cores", lambda: 2)
    yield started
    assert all(process.poll() is not None for process in started)


def _labels(places):
    dataset = read_coco(*places, SPLIT, min_pixels=60)
    cats = dataclasses.replace(SPLIT, scored=("cat",))
    file = read_coco_file(places[0])
    evaluated = evaluation_records(file, places[1], cats)
    return (
        [(r.image_id, r.labels, r.uncertain) for r in dataset.records],
        dataset.skipped,
        dataset.dropped,
        [(r.image_id, r.labels) for r in evaluated.records],
    )


@pytest.fixture
def alone(places, own):
    """What one process finds."""
    found = _labels(places)
    assert found[1]
    assert found[2]
    assert len(own) == 2 * COUNT
    own.clear()
    return found


def test_labels_are_those_of_one_process(places, alone, own, two):
    assert _labels(places) == alone
    assert own == []
    assert len(two) == 4


def test_pictures_that_will_not_be_asked_for_are_left_out(
    places, own, two, monkeypatch
):
    told = []
    plain = painting._Process.ask

    def ask(process, tasks):
        told.extend(row for row, *_ in tasks)
        return plain(process, tasks)

    monkeypatch.setattr(painting._Process, "ask", ask)
    read_coco(*places, SPLIT, exclude_images_with_target=True)
    assert told == own == []


@pytest.mark.parametrize(
    "program",
    [
        "raise SystemExit(3)",
        "import os, keras_wsss.data.painting as p\n"
        "plain = p._hidden\n"
        "def hidden(file, roles, few, labels, place):\n"
        "    if place.id % 7 == 0: os._exit(1)\n"
        "    return plain(file, roles, few, labels, place)\n"
        "p._hidden = hidden\n"
        "p.serve()",
    ],
    ids=["at once", "later"],
)
def test_what_a_process_that_dies_leaves_is_done(
    places, alone, own, two, monkeypatch, program
):
    monkeypatch.setattr(painting, "_SERVE", program)
    assert _labels(places) == alone
    assert own


def test_where_none_can_be_started_one_does_all(
    places, alone, own, two, monkeypatch
):
    monkeypatch.setattr(painting.sys, "executable", "/nowhere/python")
    assert _labels(places) == alone
    assert len(own) == 2 * COUNT


def test_nothing_goes_on_behind_an_interruption(places, two, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(painting.PaintedAhead, "hidden", interrupted)
    with pytest.raises(KeyboardInterrupt):
        read_coco(*places, SPLIT)
    assert len(two) == 2


def test_a_fault_is_told_by_who_asks(tmp_path, content, two):
    shape = [box(0, 0, 40, 40)]
    content["annotations"] += [
        annotation(1000 + n, 9, "cup", shape) for n in range(101)
    ]
    places = write_coco(tmp_path, content)
    with pytest.raises(DataError, match="image 9: its instances cover it 10"):
        read_coco(*places, SPLIT)


def test_a_file_that_changes_meanwhile_is_refused(places, two, monkeypatch):
    plain = painting.PaintedAhead.hidden

    def changed(self, row):
        if row == 0:
            places[0].write_text(places[0].read_text() + " ")
        return plain(self, row)

    monkeypatch.setattr(painting.PaintedAhead, "hidden", changed)
    with pytest.raises(DataError, match="it has changed since it was read"):
        read_coco(*places, SPLIT)


def test_a_process_that_says_something_else_counts_as_dead(
    places, alone, own, two, tmp_path, monkeypatch
):
    (tmp_path / "sitecustomize.py").write_text("print('Welcome, stranger')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert _labels(places) == alone
    assert len(own) == 2 * COUNT
