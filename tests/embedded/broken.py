"""A process that has a wrong setting."""

import sys

print("listen can't be 'moon'", file=sys.stderr)
sys.exit(2)
