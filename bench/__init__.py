"""Benchmarks: how long the device's loop takes, against a yardstick, against others, for hours."""

import edge  # noqa: F401  before numpy: it says how many threads BLAS may have
