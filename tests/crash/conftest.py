"""Makes the harness importable for the crash tests."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
