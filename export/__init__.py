"""`python -m export`, from a checkout; the code is keras_wsss.serving."""
