"""Microphone, pipe or file -> blocks of samples at the model's rate."""
