"""Folders of sound files, or a seed -> libraries of mono clips."""
