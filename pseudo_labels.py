"""`python pseudo_labels.py ...`: `keras-wsss pseudo-labels` from a checkout."""

from keras_wsss.commands.main import run_script

if __name__ == "__main__":
    run_script("pseudo-labels")
