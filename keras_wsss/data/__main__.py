"""`python -m keras_wsss.data ...` is `keras-wsss data ...`."""

import sys

from keras_wsss.commands.main import run_command

if __name__ == "__main__":
    run_command("data", "python -m keras_wsss.data", sys.argv[1:])
