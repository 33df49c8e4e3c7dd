"""Sounds that this project synthesizes."""
