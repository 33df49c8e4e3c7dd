"""Channels of a microphone array -> first-order ambisonics (FOA): profiles, acoustic models, encoders."""
