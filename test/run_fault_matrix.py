"""What ./dev faults starts: a script, so that test/ is on this process's path and on no child's."""

import sys

from fault_matrix.command import main

if __name__ == "__main__":
    sys.exit(main())
