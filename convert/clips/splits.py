"""The name of a group -> the split that its clips are in: a group is never in both."""

from __future__ import annotations

import hashlib

TEST_SHARE = 0.2  # of the groups


def split_of(group: str) -> str:
    """Return the split of a group, "train" or "test", by a hash of its name.

    Args:
        group: the group as it stands in `clips.csv`: source/group.
    """
    number = int.from_bytes(hashlib.sha256(group.encode()).digest()[:4], "big")
    return "test" if number < TEST_SHARE * 2**32 else "train"
