"""`python -m export.client_rest`: see keras_wsss.serving.client_rest."""

import sys

from keras_wsss.serving.client_rest import main

if __name__ == "__main__":
    sys.exit(main())
