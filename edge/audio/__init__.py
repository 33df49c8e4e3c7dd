"""Microphone, pipe or sound file -> blocks of samples at the model's rate."""
