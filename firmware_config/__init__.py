"""Profiles of boards and arrays, and templates of system files, that are shipped with seld-edge."""
