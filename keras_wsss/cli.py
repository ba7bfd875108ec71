"""What every command of the project shares: errors without tracebacks."""

import sys
from collections.abc import Callable
from typing import NoReturn

from keras_wsss.errors import UserError

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130


def exit_with(main: Callable[[], int | None]) -> NoReturn:
    """Runs `main` and exits: user errors become one sentence on stderr.

    Args:
        main: returns the exit code; None means 0.
    """
    try:
        code = main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        code = EXIT_USER_ERROR
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = EXIT_INTERRUPTED
    sys.exit(code)
