"""One trainer for all nets."""
