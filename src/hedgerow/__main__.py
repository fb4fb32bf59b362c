"""`python -m hedgerow` is the command `hedgerow`."""

import sys

if __name__ == "__main__":  # worker processes import this file, too, and need nothing of the command line
    from hedgerow.cli import main

    sys.exit(main())
