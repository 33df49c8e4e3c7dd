"""The tables of the papers: which models a paper trains, on what, what it reports; and our figures beside its own."""
