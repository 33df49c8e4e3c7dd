"""A random generator -> synthesized sounds of every class."""
