"""Clips -> labelled scenes: events, rooms, microphone arrays, ambience."""
