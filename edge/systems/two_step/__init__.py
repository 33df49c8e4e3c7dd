"""Two-step on the device (Yu 2025)."""
