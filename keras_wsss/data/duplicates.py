"""Pictures that stand in the training and in the validation part."""

import collections
from collections.abc import Iterator, Sequence
from pathlib import Path

from keras_wsss.data.problems import Problem
from keras_wsss.files import sha256


def in_both(
    train: Sequence[Path], validation: Sequence[Path], names: bool
) -> Iterator[Problem]:
    """Yields a problem for every training picture that is in validation.

    Content is compared byte for byte (by SHA-256); a picture that was saved
    again at another size or quality is found by its name only.

    Args:
        train: training pictures.
        validation: evaluation pictures.
        names: whether equal names mean equal pictures.
    """
    by_name = {path.stem: path for path in validation} if names else {}
    by_size: dict[int, list[Path]] = collections.defaultdict(list)
    for path in validation:
        by_size[path.stat().st_size].append(path)
    digests: dict[Path, str] = {}
    for path in train:
        twin = by_name.get(path.stem)
        relation = "has the name of"
        remedy = "or rename it if it is another picture"
        # Equal content needs equal size; only such files are hashed.
        for other in by_size.get(path.stat().st_size, ()):
            for file in (path, other):
                if file not in digests:
                    digests[file] = sha256(file)
            if digests[path] == digests[other]:
                twin = other
                relation, remedy = "is also", "whatever its name"
        if twin is not None:
            yield Problem(
                "same image in train and val",
                str(path),
                "",
                f"it {relation} the evaluation picture {twin}; remove it from "
                f"one of them, {remedy}",
            )
