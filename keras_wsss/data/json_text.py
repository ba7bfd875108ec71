"""JSON files of strangers, read within limits."""

import json
from pathlib import Path
from typing import Any

from keras_wsss.data.problems import read_text
from keras_wsss.errors import DataError

_SMALL = 16_000_000  # characters; less text cannot take much memory
_TEXT_PER_BRACKET = 8  # characters; real files have 30 and more


def read_json(path: Path, what: str) -> Any:
    """The content of a JSON file.

    Args:
        path: the file.
        what: it should be, for messages, e.g. "COCO instances file".

    Raises:
        DataError: missing, too large, no JSON, or nothing but brackets.
    """
    text = read_text(path)
    brackets = text.count("[") + text.count("{")
    if len(text) > _SMALL and brackets * _TEXT_PER_BRACKET > len(text):
        # Each would take 20 times its text as a Python object.
        raise DataError(
            f"{path}: not a {what} ({brackets} brackets in {len(text)} "
            "characters); export the file again."
        )
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}: line {error.lineno} column {error.colno}: not JSON "
            f"({error.msg}); download or export the file again."
        ) from None
    except RecursionError:
        raise DataError(
            f"{path}: not a {what} (its lists are nested too deeply); export "
            "the file again."
        ) from None
    except ValueError as error:
        raise DataError(f"{path}: not a {what} ({error}).") from None
