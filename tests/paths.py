"""Where the tests find what they need: the project's own files, golden data, and the workshop's data where it is."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "tests" / "golden"
DEMO = ROOT / "edge" / "demo"
SHARED = ROOT.parent / "shared"  # absent outside the workshop
