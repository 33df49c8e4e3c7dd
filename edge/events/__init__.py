"""Decoded tracks -> events and their records."""
