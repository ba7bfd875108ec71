"""`python -m export ...` is `keras-wsss export ...`, from a checkout."""

import sys

from keras_wsss.commands.main import run_command

if __name__ == "__main__":
    run_command("export", "python -m export", sys.argv[1:])
