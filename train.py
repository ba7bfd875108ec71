"""`python train.py ...` is `keras-wsss train ...`, from a checkout."""

from keras_wsss.commands.main import run_script

if __name__ == "__main__":
    run_script("train")
