"""`python -m keras_wsss ...` is `keras-wsss ...`."""

from keras_wsss.commands.main import main

if __name__ == "__main__":
    main()
