"""Records that are kept as bytes, as if they were objects in a tuple."""

import copy
import dataclasses
import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from keras_wsss.data import pictures
from keras_wsss.data.annotations import AnnotatedImage, HeldInstances
from keras_wsss.data.formats.index_masks import IndexMask
from keras_wsss.data.instance_masks import InstanceMask, Roles
from keras_wsss.data.pictures import drop_bad_images
from keras_wsss.data.records import Dataset, Record, Records

INSTANCES, ROLES = HeldInstances({}), Roles({1: 2}, {1: -1})
FILE, LISTED = Path("/data/instances.json"), tuple(range(1, 81))


class OwnMask:
    """What an own format may give: nobody knows what it is made of."""

    def __init__(self, value):
        self.value = value


@dataclasses.dataclass(frozen=True)
class HalfHidden(OwnMask):
    """One of its fields is not given."""

    value: int
    twice: int = dataclasses.field(init=False, default=0)


@dataclasses.dataclass(frozen=True)
class Below:
    """It makes another field of what it is given, if asked twice another."""

    path: Path

    def __post_init__(self):
        object.__setattr__(self, "path", "root" / self.path)


@dataclasses.dataclass(frozen=True)
class Told:
    """It takes what is no field."""

    path: Path
    root: dataclasses.InitVar[Path] = Path("root")


@dataclasses.dataclass(frozen=True)
class Parsed(Told):
    """It has a way of its own to be made."""

    def __init__(self, text):
        object.__setattr__(self, "path", Path(text.strip("<>")))


class OwnPath(type(Path())):
    """It may know more than its text."""


def of_instances(number):
    name = f"{number:012}.jpg"
    image = AnnotatedImage(number, name, 640, 480)
    return Record(
        f"{number:012}",
        Path("/data/images") / name,
        "source",
        (3, 5, number % 200 + 6),
        InstanceMask(FILE, image, INSTANCES, ROLES),
        uncertain=(1,),
        annotated=LISTED,
    )


def of_all_kinds():
    path, own = Path("a/b/ü.jpg"), OwnMask(1)
    return [
        of_instances(1),
        of_instances(2),
        Record("", Path("x.jpg"), "target", ()),
        Record("b/ü", path, "target", (1,), annotated=(1, 2), trusted=True),
        Record("b/ü", path, "target", (255, 1000), own, (), (1000,)),
        Record("b/ü", path, "target", (np.int64(7),), HalfHidden(3)),
        Record("f", OwnPath("g/h"), "target", (1,), Below(path)),
        Record("f", path, "target", (1,), Told(path, FILE)),
        Record("f", path, "target", (1,), Parsed("<g/h>")),
        Record("c", Path("/"), "source", (2,), IndexMask(path, (1, 0))),
        Record("d", Path(".."), "source", (2,), IndexMask(FILE, (1, 0), 9)),
        *map(of_instances, range(3, 9)),
    ]


def test_records_are_what_was_put_in():
    plain = of_all_kinds()
    records = Records(plain)
    assert list(records) == plain
    assert [records[-1], records[4]] == [plain[-1], plain[4]]
    assert type(records[6].image_path) is OwnPath
    assert len(records) == len(plain)
    assert plain[5] in records
    for part in (slice(2, 9, 3), slice(None, None, -1), slice(5, 2)):
        assert list(records[part]) == plain[part]
    with pytest.raises(IndexError):
        records[len(plain)]


def test_picked_records_may_be_picked_from_and_added_to():
    plain = of_all_kinds()
    records = Records(plain)
    picked = records.pick([7, 1, 1]).pick([2, 0])
    picked.append(of_instances(77))
    assert list(picked) == [plain[1], plain[7], of_instances(77)]
    assert list(records) == plain
    records.append(of_instances(78))
    assert [picked[2], records[-1]] == [of_instances(77), of_instances(78)]


@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, lambda r: pickle.loads(pickle.dumps(r))],
)
def test_a_copy_holds_the_same_and_goes_its_own_way(copied):
    plain = [
        r for r in of_all_kinds() if type(r.mask) in (IndexMask, type(None))
    ]
    records = Records(plain)
    other = copied(records[1:])
    assert list(other) == plain[1:]
    assert other == records[1:]
    other.append(of_all_kinds()[2])
    assert other[-1] == of_all_kinds()[2]
    assert list(records) == plain
    assert other != records
    assert other[:-2] != records[:-2]


def test_a_data_set_keeps_its_records_so():
    plain = of_all_kinds()
    dataset = Dataset(plain, negatives=(plain[0],))
    for records in (dataset.records, dataset.negatives, dataset.left_out):
        assert isinstance(records, Records)
    assert dataclasses.replace(dataset).records is dataset.records


@pytest.mark.parametrize(
    "make",
    [
        of_instances,
        lambda n: Record(f"{n}", Path(f"/a/{n}.jpg"), "target", (n % 9,)),
        lambda n: Record(
            f"{n}",
            Path(f"/images/{n}.jpg"),
            "source",
            (n % 9,),
            IndexMask(Path(f"/masks/{n}.png"), LISTED),
        ),
    ],
)
def test_a_record_takes_few_bytes(make):
    """As an object, more than 1000."""
    tracemalloc.start()
    try:
        records = Records(map(make, range(20_000)))
        # Without the names that pathlib lets Python remember.
        ours = tracemalloc.Filter(True, "*keras_wsss*")
        found = tracemalloc.take_snapshot().filter_traces([ours])
    finally:
        tracemalloc.stop()
    taken = sum(each.size for each in found.statistics("filename"))
    assert taken < 40 * len(records)


def test_few_records_are_objects_while_pictures_are_checked(monkeypatch):
    made, read = [], []
    plain = Records._made

    def making(*of):
        made.append(1)
        return plain(*of)

    monkeypatch.setattr(Records, "_made", making)
    monkeypatch.setattr(
        pictures, "read_image", lambda *_: read.append(len(made) - len(read))
    )
    dataset = Dataset([of_instances(1)] * 100)
    assert drop_bad_images(dataset) is dataset
    assert len(read) == 100
    assert max(read) < 20
