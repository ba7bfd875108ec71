"""Category names and ids, source/target splits, and the mask palette."""

import dataclasses
import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from keras_wsss.errors import ConfigError
from keras_wsss.files import normal_name

if TYPE_CHECKING:
    import numpy as np

BACKGROUND = 0
IGNORE = 255
MAX_CATEGORIES = 254  # ids are uint8 in masks; 0 and 255 have meanings

# PASCAL VOC 2012, official order: id = position + 1.
VOC_CATEGORIES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat",
    "chair", "cow", "diningtable", "dog", "horse", "motorbike", "person",
    "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip

# The 60 COCO categories that VOC lacks, in ascending COCO id: ids 21 to 80.
COCO_NOT_VOC_CATEGORIES = (
    "truck", "traffic light", "fire hydrant", "stop sign", "parking meter",
    "bench", "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella",
    "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard",
    "sports ball", "kite", "baseball bat", "baseball glove", "skateboard",
    "surfboard", "tennis racket", "wine glass", "cup", "fork", "knife",
    "spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli",
    "carrot", "hot dog", "pizza", "donut", "cake", "bed", "toilet", "laptop",
    "mouse", "remote", "keyboard", "cell phone", "microwave", "oven",
    "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors",
    "teddy bear", "hair drier", "toothbrush",
)  # fmt: skip

# COCO's names for VOC categories, where the two data sets differ.
COCO_ALIASES = {
    "airplane": "aeroplane",
    "couch": "sofa",
    "dining table": "diningtable",
    "motorcycle": "motorbike",
    "potted plant": "pottedplant",
    "tv": "tvmonitor",
}

# Silhouettes of the embedded data set, `keras_wsss.shapes.make`.
SHAPES_SOURCE = (
    "disc", "ring", "square", "triangle", "cross", "hourglass", "crescent",
    "bar", "drop", "half disc", "corner", "tee", "zigzag", "arch",
)  # fmt: skip
SHAPES_TARGET = ("arrow", "clover", "fish", "heart", "mushroom", "star")

# From which on a name may be a misspelling: "dgo" of "dog", "hot dog" not.
NEAR = 0.65

ANIMALS = ("cat", "cow", "dog", "horse", "sheep")


@dataclasses.dataclass(frozen=True)
class Split:
    """Categories with masks (source), with tags only (target), and scored.

    Attributes:
        name: name of the split, written into every run folder.
        categories: all category names in id order (id = position + 1).
        source: names whose masks may be used.
        target: names of which only image-level tags may be used. Disjoint
            from `source`.
        scored: target names that the evaluation scores, in id order; pixels
            of any other category count as background there.
        aliases: other spellings, e.g. COCO's name of a VOC category.
        ignored: names of tags that are not wanted; "*" is every tag that is
            no near misspelling of a known one.

    Names are kept in one Unicode form (NFC) and with single blanks.
    """

    name: str
    categories: tuple[str, ...]
    source: tuple[str, ...]
    target: tuple[str, ...]
    scored: tuple[str, ...]
    aliases: Mapping[str, str] = dataclasses.field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    _ids: Mapping[str, int | None] = dataclasses.field(
        init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        for field in ("categories", "source", "target", "scored", "ignored"):
            plain = tuple(map(_plain, getattr(self, field)))
            object.__setattr__(self, field, plain)
        aliases = {_plain(a): _plain(own) for a, own in self.aliases.items()}
        object.__setattr__(self, "aliases", aliases)
        ids = {name: i for i, name in enumerate(self.categories, 1)}
        others = {other: ids.get(own) for other, own in aliases.items()}
        object.__setattr__(self, "_ids", {**ids, **others})

        def fail(problem: str) -> None:
            raise ConfigError(f"Split '{self.name}': {problem}.")

        for field in ("categories", "source", "target", "scored"):
            names = getattr(self, field)
            repeated = sorted({name for name in names if names.count(name) > 1})
            if repeated:
                fail(f"{field} names {', '.join(repeated)} more than once")
            for name in names:
                if "," in name:
                    parts = tuple(part.strip() for part in name.split(","))
                    fail(
                        f"{field} has the name {name!r}, with a comma; if "
                        f"these are several, write {parts}"
                    )
        alike: dict[str, list[str]] = {}
        for name in self.categories:
            alike.setdefault(" ".join(name.split()).casefold(), []).append(name)
        for names in alike.values():
            # One of them would be taught as what the other is not.
            if len(names) > 1:
                fail(
                    f"{' and '.join(map(repr, names))} differ in their "
                    "spelling alone; give them one name, and make the other "
                    "an alias (config.split.aliases)"
                )
        if not self.target:
            fail("it has no target category; name at least one")
        if len(self.categories) > MAX_CATEGORIES:
            fail(
                f"it has {len(self.categories)} categories; masks hold at "
                f"most {MAX_CATEGORIES}"
            )
        both = sorted(set(self.source) & set(self.target))
        if both:
            fail(
                f"{', '.join(both)} stand in source and in target; a category "
                "has either masks or tags only"
            )
        wanted = sorted(n for n in self.ignored if self.find(n) is not None)
        if wanted:
            fail(
                f"ignored names {', '.join(wanted)}, which are among its "
                "categories; leave them out of one"
            )
        unknown = (set(self.source) | set(self.target)) - set(self.categories)
        if unknown:
            fail(f"{', '.join(sorted(unknown))} are not among its categories")
        not_target = sorted(set(self.scored) - set(self.target))
        if not_target:
            fail(f"scored {', '.join(not_target)} are not target categories")

    @property
    def num_categories(self) -> int:
        """Number of categories without background (C of the papers)."""
        return len(self.categories)

    @property
    def source_ids(self) -> tuple[int, ...]:
        """Ids (1 to C) of `source`, ascending."""
        return self.ids(self.source)

    @property
    def target_ids(self) -> tuple[int, ...]:
        """Ids (1 to C) of `target`, ascending."""
        return self.ids(self.target)

    @property
    def scored_ids(self) -> tuple[int, ...]:
        """Ids (1 to C) of `scored`, ascending."""
        return self.ids(self.scored)

    def ids(self, names: Iterable[str]) -> tuple[int, ...]:
        """Ids (1 to C) of `names`, ascending. Raises `KeyError`."""
        return tuple(sorted(self.id_of(name) for name in names))

    def id_of(self, name: str) -> int:
        """Id (1 to C) of a category name or alias. Raises `KeyError`."""
        found = self.find(name)
        if found is None:
            raise KeyError(name)
        return found

    def find(self, name: str) -> int | None:
        """Id (1 to C) of a category name or alias, or None if unknown."""
        return self._ids.get(name) or self._ids.get(_plain(name))

    def ignores(self, name: str) -> bool:
        """Whether a tag that is no category is to be left out."""
        name = _plain(name)
        if name in self.ignored:
            return True
        if "*" not in self.ignored or self.find(name) is not None:
            return False
        known = [n.lower() for n in (*self.categories, *self.aliases)]
        return not difflib.get_close_matches(name.lower(), known, 1, NEAR)

    def name_of(self, category: int) -> str:
        """Name of an id; 0 is 'background'. Raises `KeyError`."""
        if category == BACKGROUND:
            return "background"
        if not 1 <= category <= len(self.categories):
            raise KeyError(category)
        return self.categories[category - 1]


def _plain(name: str) -> str:
    """A name as it is compared."""
    return " ".join(normal_name(name).split())


_VOC_AND_COCO = VOC_CATEGORIES + COCO_NOT_VOC_CATEGORIES
# Known not to be misspelt, whatever they are like.
WORDS = frozenset((*_VOC_AND_COCO, *COCO_ALIASES))


def _in_id_order(
    categories: Sequence[str], names: Iterable[str]
) -> tuple[str, ...]:
    wanted = set(names)
    return tuple(name for name in categories if name in wanted)


def _coco_split(
    name: str, target: Iterable[str], scored: Iterable[str]
) -> Split:
    target = _in_id_order(_VOC_AND_COCO, target)
    return Split(
        name=name,
        categories=_VOC_AND_COCO,
        source=tuple(n for n in _VOC_AND_COCO if n not in target),
        target=target,
        scored=_in_id_order(_VOC_AND_COCO, scored),
        aliases=COCO_ALIASES,
    )


# coco60_voc20 is the split of the TransferNet paper (ids of its release).
SPLITS = {
    split.name: split
    for split in (
        _coco_split("coco60_voc20", VOC_CATEGORIES, VOC_CATEGORIES),
        _coco_split("mini60", VOC_CATEGORIES, (*ANIMALS, "person")),
        _coco_split("mini75", ANIMALS, ANIMALS),
        Split(
            name="shapes",
            categories=SHAPES_TARGET + SHAPES_SOURCE,
            source=SHAPES_SOURCE,
            target=SHAPES_TARGET,
            scored=SHAPES_TARGET,
        ),
    )
}


def get_split(
    name: str,
    source: Sequence[str] = (),
    target: Sequence[str] = (),
    scored: Sequence[str] = (),
    aliases: Mapping[str, str] | None = None,
    ignored: Sequence[str] = (),
) -> Split:
    """The split called `name`, or a user's own made of category names.

    Args:
        name: one of `SPLITS`, or any other name together with `target`.
        source: for a user's split, the names that have masks.
        target: for a user's split, the names that have tags only. Ids are
            given in the order target, then source, so that adding a source
            category leaves the ids of the target categories alone.
        scored: target names to score; all of them when empty.
        aliases: for a user's split, other spellings to its names. COCO's
            and VOC's spellings of one category ("couch", "sofa") are known
            anyway: a target must be found under either name.
        ignored: tags that are not wanted, also of a built-in split.

    Raises:
        ConfigError: unknown name without categories, or a split that
            contradicts itself.
    """
    if not target and not source:
        if name in SPLITS:
            if not ignored:
                return SPLITS[name]
            return dataclasses.replace(SPLITS[name], ignored=tuple(ignored))
        raise ConfigError(
            f"Unknown split '{name}'. Known: {', '.join(sorted(SPLITS))}; "
            "for your own, give the names of source and target categories "
            "too (--source, --target; in a config split.source, split.target)."
        )
    if name in SPLITS:
        raise ConfigError(
            f"Split name '{name}' is taken; give your own split a name of its "
            "own (--split; in a config split.name)."
        )
    categories = tuple(map(_plain, (*target, *source)))
    source, target, scored = (
        tuple(map(_plain, names)) for names in (source, target, scored)
    )
    known = set(categories)
    spellings = {
        other: own
        for pair in COCO_ALIASES.items()
        for other, own in (pair, pair[::-1])
        if own in known and other not in known
    }
    return Split(
        name=name,
        categories=categories,
        source=tuple(source),
        target=tuple(target),
        # What is no category stays at the end, and is refused by name.
        scored=(
            *_in_id_order(categories, scored or target),
            *(each for each in scored if each not in known),
        ),
        aliases={**spellings, **(aliases or {})},
        ignored=tuple(ignored),
    )


def same_categories(here: Split, there: Split) -> dict[str, str]:
    """Which category of another split each category of this one is.

    The same name is the same category. Of the others, those that have a
    spelling in common are: aliases of both splits count.

    Args:
        here: the split whose categories are looked up.
        there: the split to find them in.

    Returns:
        Name here to name there, without those that are new here. Several
        may be one there: a category that was divided.

    Raises:
        ConfigError: aliases make one of several that differ there.
    """
    same = {name: name for name in here.categories if name in there.categories}
    others = [name for name in there.categories if name not in same]
    for name in here.categories:
        if name in same:
            continue
        spellings = _spellings(here, name)
        found = [o for o in others if spellings & _spellings(there, o)]
        if len(found) > 1:
            raise ConfigError(
                f"config.split.aliases: '{name}' would go on from each of "
                f"{', '.join(found)} of split '{there.name}'; give it the name "
                "of the one that it shall go on from, and make the other "
                "spellings aliases of that."
            )
        if found:
            same[name] = found[0]
    return same


def _spellings(split: Split, name: str) -> set[str]:
    return {name, *(a for a, own in split.aliases.items() if own == name)}


def palette() -> "np.ndarray":
    """The VOC colour map: bit-reversed ids spread over three channels.

    Returns:
        uint8 [256, 3], RGB; row 0 is black, row 255 the void colour.
    """
    import numpy as np  # a config is read without it

    ids = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            value = (ids >> (3 * bit + channel)) & 1
            colours[:, channel] |= (value << (7 - bit)).astype(np.uint8)
    return colours
