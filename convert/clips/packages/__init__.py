"""Pinned packages of public registries -> folders with their files."""
