"""Of the licences of clips, and of what the cards and the notice say of the shipped weights."""

from pathlib import Path

import pytest

from convert.clips.licences import ALLOWED
from convert.quantize.weights_licence import FREE, RESTRICTED, is_free, licence_section, weights_licence

ROOT = Path(__file__).parents[3]
BUNDLES = sorted((ROOT / "edge/bundles").glob("*/CARD.md"))


@pytest.mark.parametrize("licence", [*sorted(ALLOWED), "CC BY-SA 3.0 / GPL-2+", "GPL-3.0-only OR MIT", "CC0/CC BY/PD"])
def test_free_licences(licence):
    assert is_free(licence)


@pytest.mark.parametrize(
    "licence",
    [
        "",
        "not stated",
        "CC BY-NC 4.0",
        "CC-BY-NC-SA-3.0",
        "CC BY-ND 4.0",
        "CC BY / CC BY-NC (see .txt)",
        "MIT AND CC-BY-NC-4.0",
        "CC0/CC BY per sources.md",
        "per-clip Freesound licence (repo Apache-2.0) - local use",
        "MIT-like",
    ],
)
def test_what_is_unclear_or_excludes_a_use_is_not_free(licence):
    assert not is_free(licence)


def test_one_source_that_is_not_free_restricts_the_weights():
    sources = [{"source": "synth", "licence": "CC0-1.0"}, {"source": "mocap", "licence": "CC BY-NC 4.0"}]
    assert weights_licence(sources[:1]) == (FREE, [])
    assert weights_licence(sources) == (RESTRICTED, ["mocap"])
    assert licence_section(sources[:1])[2].startswith(f"{FREE}. All sources have free licences")
    assert "exclude such use: mocap. " in licence_section(sources)[2]


@pytest.mark.parametrize("card", BUNDLES, ids=lambda card: card.parent.name)
def test_shipped_cards_and_the_notice_say_it(card):
    before, _, after = card.read_text().partition("\n## Licence of the weights\n")
    table = before.rpartition("\n## ")[2]
    rows = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("|")][2:]
    sources = [{"source": row[0].strip(), "licence": row[1].strip()} for row in rows]
    assert len(sources) > 10
    assert after.partition("\n## ")[0].strip() == licence_section(sources)[2]
    notice = " ".join((ROOT / "NOTICE").read_text().split())
    assert card.parent.name in notice and weights_licence(sources)[0] in notice
