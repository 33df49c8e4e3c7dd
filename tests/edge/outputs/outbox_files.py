"""What the tests of the outbox look at."""


def texts(outbox, after=0, most=10**6):
    return [entry.text for entry in outbox.pending(after, most)]


def segments(folder):
    return sorted(folder.glob("*.log"))
