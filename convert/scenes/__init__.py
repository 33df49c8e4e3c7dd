"""Clips -> labelled scenes: rooms, arrays, ambience."""
