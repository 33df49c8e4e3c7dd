import pytest

from edge.arrays.profile import ArrayProfile, load_array, shipped_arrays
from edge.arrays.sound_card import SoundCard


def test_cards_of_shipped_arrays():
    cards = {name: load_array(name).card for name in shipped_arrays()}
    assert {name for name, card in cards.items() if card is not None} == {"respeaker_usb4", "seeed_4mic", "xvf3800"}
    assert cards["respeaker_usb4"].usb == "2886:0018" and cards["respeaker_usb4"].boot == ()
    assert cards["seeed_4mic"].id == "seeed4micvoicec" and "dtoverlay=seeed-4mic-voicecard" in cards["seeed_4mic"].boot


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ({}, "got usb None and id None, wanted one of them"),
        ({"usb": "2886:0018", "id": "mic"}, "got usb '2886:0018' and id 'mic', wanted one of them"),
        ({"usb": "2886:ABCD"}, "got usb '2886:ABCD', wanted VENDOR:PRODUCT in small hexadecimal digits"),
        ({"usb": '2886:0018", RUN+="'}, "wanted VENDOR:PRODUCT"),
        ({"id": "a card"}, "got id 'a card', wanted 1 to 15 letters, digits, _ or -, a letter first"),
        ({"id": "a" * 16}, "wanted 1 to 15 letters"),
        ({"id": ""}, "wanted 1 to 15 letters"),
        ({"id": "a", "boot": ("dtoverlay=a\n[all]",)}, r"got boot line 'dtoverlay=a\\n\[all\]', wanted dtparam="),
        ({"id": "a", "boot": ("arm_64bit=0",)}, "got boot line 'arm_64bit=0', wanted dtparam=... or dtoverlay=..."),
    ],
)
def test_invalid_cards_are_refused(card, message):
    with pytest.raises(ValueError, match=message):
        SoundCard(**card)


def test_array_with_a_card_needs_rate_format_and_a_valid_name():
    card, what = SoundCard(usb="2886:0018"), ("foa", 4, (0, 1, 2, 3))
    with pytest.raises(ValueError, match="got a card without native_rate_hz or format, wanted both"):
        ArrayProfile("a", *what, card=card)
    with pytest.raises(ValueError, match="got name 'my array' of an array with a card, wanted 1 to 15 letters"):
        ArrayProfile("my array", *what, native_rate_hz=48000, format="s16le", card=card)
    assert ArrayProfile("my_array", *what, native_rate_hz=48000, format="s16le", card=card).card == card
