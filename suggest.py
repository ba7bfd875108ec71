"""`python suggest.py ...` is `keras-wsss suggest ...`, from a checkout."""

from keras_wsss.commands.main import run_script

if __name__ == "__main__":
    run_script("suggest")
