"""`python -m export.client_grpc`: see keras_wsss.serving.client_grpc."""

import sys

from keras_wsss.serving.client_grpc import main

if __name__ == "__main__":
    sys.exit(main())
