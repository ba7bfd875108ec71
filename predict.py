"""`python predict.py ...` is `keras-wsss predict ...`, from a checkout."""

from keras_wsss.commands.main import run_script

if __name__ == "__main__":
    run_script("predict")
