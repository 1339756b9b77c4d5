"""Makes `python -m hybridnets` the command `hybridnets`."""

import sys

from hybridnets.cli import main

if __name__ == "__main__":
    sys.exit(main())
