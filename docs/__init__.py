"""Documents for people, and the programs that make those parts of them that follow from the code."""
