"""Microphone arrays: what a device delivers -> first-order ambisonics (FOA)."""
