"""What names of categories in files mean, beside categories of a split."""

import difflib
import re
from collections.abc import Iterable
from pathlib import Path

from keras_wsss.categories import NEAR, WORDS, Split
from keras_wsss.data.annotations import IGNORED_REGION
from keras_wsss.data.problems import OnProblem, Problem
from keras_wsss.data.segmentation import shown

# As tools write them; signs, blanks and case do not matter.
_BACKGROUND = (
    "background", "bg", "bkg", "bkgd", "none", "nothing", "unlabeled",
    "unlabelled", "nolabel",
)  # fmt: skip
_IGNORED = (
    "ignore", "ignored", "ignoreregion", "void", "unknown", "dontcare",
)  # fmt: skip


def is_background(name: str) -> bool:
    """Whether a name says that there is no category."""
    return _bare(name) in _BACKGROUND


def is_ignored(name: str) -> bool:
    """Whether a name says that nothing is to be judged there."""
    return name == IGNORED_REGION or _bare(name) in _IGNORED


def is_no_category(name: str) -> bool:
    """Whether a tool's name means the background, or what is not judged."""
    return is_background(name) or is_ignored(name)


def _bare(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).lower()


def check_spelling(
    path: Path, names: Iterable[str], split: Split, on_problem: OnProblem
) -> None:
    """Tells of categories that are nearly a target: they would be missed.

    Args:
        path: the file that lists them.
        names: of categories.
        split: whose targets they may be.
        on_problem: called with each of them.
    """
    known = {name.lower(): name for name in (*split.target, *split.aliases)}
    for name in names:
        if (
            split.find(name) is not None
            or split.ignores(name)
            or name in WORDS  # "car" is no cat
            or is_no_category(name)
        ):
            continue
        near = difflib.get_close_matches(name.lower(), known, 1, NEAR)
        if near:
            text = (
                f"its category {shown(name)} is none of split '{split.name}', "
                f"closest known: {known[near[0]]}; correct it, make it an "
                "alias (config.split.aliases), or name it in "
                "config.split.ignored"
            )
            on_problem(Problem("unknown category", str(path), "", text))
