"""The licences of the clips that nets learnt from -> the licence of their weights, for the model card."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from convert.clips.licences import ALLOWED

FREE = "Apache-2.0"
RESTRICTED = "CC-BY-NC-SA-4.0"

_VERSION = re.compile(r"(?<!cc)-?\d+(\.\d+)*(-clause)?(\+|-only|-or-later)?$")
_BETWEEN = re.compile(r"\s*(?:/|,|;)\s*|\s+(?:AND|OR)\s+")


def _family(name: str) -> str:
    """A licence without its version, in one spelling: "CC BY-SA 3.0" and "CC-BY-SA-4.0" are both `cc-by-sa`."""
    return _VERSION.sub("", name.casefold().replace(" ", "-"))


_FREE_FAMILIES = {*map(_family, ALLOWED), "pd", "public-domain"}


def is_free(licence: str) -> bool:
    """Whether all that a licence names lets anyone pass on clips and what was made from them, also for money.

    Args:
        licence: an SPDX expression, or free licences by their usual names with `/` between them (`CC0/CC BY-SA 3.0`).
            Anything else is not free: words such as "not stated", "research", "NC", "per clip".
    """
    return all(_family(name) in _FREE_FAMILIES for name in _BETWEEN.split(licence.strip()))


def weights_licence(sources: Iterable[Mapping[str, Any]]) -> tuple[str, list[str]]:
    """Find the licence that fits the strictest source.

    Args:
        sources: the rows of a run's record, with `source` and `licence`.

    Returns:
        `FREE`, or `RESTRICTED` if some source has no clear free licence; and the names of such sources, sorted.
    """
    unclear = sorted({str(row["source"]) for row in sources if not is_free(str(row["licence"]))})
    return (RESTRICTED if unclear else FREE), unclear


def licence_section(sources: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say in lines of Markdown under which licence the weights are, and because of which sources."""
    licence, unclear = weights_licence(sources)
    if not unclear:
        why = "All sources have free licences; the table above names whom they ask to be named."
    else:
        why = (
            "Not for commercial use: these sources have no clear free licence, or exclude such use: "
            f"{', '.join(unclear)}. A training on what `seld-convert clips` builds makes weights without them."
        )
    return ["## Licence of the weights", "", f"{licence}. {why}", ""]
