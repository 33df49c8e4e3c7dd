"""The device runtime of seld-edge: microphones in, sound events with class and direction out."""

__version__ = "0.1.0"
