"""TensorFlow's own messages stay out of the way, and nothing else does."""

import os
import subprocess
import sys

import pytest
from tiny import REPOSITORY

from keras_wsss.quiet_start import loud_lines

LINES = [
    "WARNING: All log messages before absl::InitializeLog() is called are\n",
    "I0000 00:00:1795693887.373945    6374 port.cc:153] oneDNN is on.\n",
    "W0000 00:00:1795693887.373945    6374 gpu.cc:1] no libraries\n",
    "E0000 00:00:1795693890.219290    6374 cuda_platform.cc:52] no cuInit\n",
    "F0000 00:00:1795693890.219290    6374 cpu.cc:2] needs AVX\n",
    "UserWarning: of Python\n",
]


@pytest.mark.parametrize(
    ("level", "kept"), [(1, "WEFU"), (2, "EFU"), (3, "FU")]
)
def test_messages_below_the_level_are_dropped(level, kept):
    found = "".join(line[0] for line in loud_lines(LINES, level))
    assert found == kept


def errors_of(code, **environment):
    """Stderr of a process that runs code after `load_tensorflow`."""
    own = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    start = "from keras_wsss.quiet_start import load_tensorflow\n"
    done = subprocess.run(
        [sys.executable, "-c", start + code],
        cwd=REPOSITORY,
        env={**own, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done.stderr


def test_neither_import_nor_devices_say_anything():
    code = """
load_tensorflow()
import sys, tensorflow as tf
tf.config.list_physical_devices("GPU")
tf.distribute.MirroredStrategy(["CPU:0"])
print("ours", file=sys.stderr)
"""
    assert errors_of(code) == "ours\n"


# In place of TensorFlow's: says what C++ would, and ends as asked.
STAND_IN = """
import os, sys
class Finder:
    def find_spec(name, path=None, target=None):
        if name == "tensorflow":
            os.write(2, b"I0000 quiet\\nE0000 quiet\\nF0000 why\\n")
            print("of Python", file=sys.stderr)
            {end}
sys.meta_path.insert(0, Finder)
load_tensorflow()
print("afterwards", file=sys.stderr)
"""


def test_what_ends_the_import_is_heard():
    text = errors_of(STAND_IN.format(end="os.abort()"))
    assert text == "F0000 why\nof Python\n"


def test_a_failing_import_is_told_where_tensorflow_is_used():
    text = errors_of(STAND_IN.format(end="raise ImportError('broken')"))
    assert text == "F0000 why\nof Python\nafterwards\n"


def test_an_outer_setting_wins():
    code = STAND_IN.format(end="raise ImportError")
    text = errors_of(code, TF_CPP_MIN_LOG_LEVEL="0")
    assert text.startswith("I0000 quiet\nE0000 quiet\nF0000 why\n")
