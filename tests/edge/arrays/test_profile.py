import re
from dataclasses import replace

import pytest

from edge.arrays.profile import ArrayProfile, load_array, shipped_arrays


def test_every_shipped_profile_loads_under_its_own_name():
    names = list(shipped_arrays())
    assert {"foa", "foa_fuma"} <= set(names)
    for name in names:
        assert load_array(name).name == name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('kind = "ambeo"', "got kind 'ambeo', wanted one of foa, foa_fuma"),
        ("channel_map = [0, 1, 2, 4]", r"got channel_map \[0, 1, 2, 4\], wanted four channels of 0 to 3"),
        ("channel_map = [0, 1, 2, -1]", "wanted four channels of 0 to 3"),
        ("channel_map = [0, 1, 2]", "wanted four channels of 0 to 3"),
        ("channel_map = [0, 1, 2, 3.0]", r"channel_map\[3\]: got 3\.0, wanted int"),
        ('channels = "4"', "channels: got '4', wanted int"),
        ('device = ""', "got device '', wanted a part of its name, or none"),
        ("native_rate_hz = 0", "got native_rate_hz 0, wanted 4000 to 192000"),
        ('format = "S32"', "got format 'S32', wanted one of s16le, s32le, f32le"),
        ("gain = 2", "got unknown key 'gain', wanted one of name, kind, channels, channel_map"),
    ],
)
def test_invalid_profiles_are_refused(tmp_path, text, message):
    table = {"name": '"a"', "kind": '"foa"', "channels": "4", "channel_map": "[0, 1, 2, 3]"}
    key, _, value = text.partition(" = ")
    table[key] = value
    path = tmp_path / "a.toml"
    path.write_text("".join(f"{key} = {value}\n" for key, value in table.items()))
    with pytest.raises(ValueError, match=rf"^{re.escape(str(path))}: .*{message}"):
        load_array(str(path))


def test_missing_profiles_are_refused(tmp_path):
    with pytest.raises(
        ValueError, match=r"^array 'zylia': got no such profile, wanted .*foa, foa_fuma.* or a \.toml file$"
    ):
        load_array("zylia")
    with pytest.raises(ValueError, match=r"none\.toml: No such file or directory$"):
        load_array(str(tmp_path / "none.toml"))
    (tmp_path / "half.toml").write_text('name = "half"\n')
    with pytest.raises(ValueError, match=r"half\.toml: got no 'kind', wanted one$"):
        load_array(str(tmp_path / "half.toml"))


def test_flat_arrays_are_planar():
    flat = {name for name in shipped_arrays() if load_array(name).planar}
    assert flat == {"respeaker_usb4", "seeed_4mic", "xvf3800"}


def test_profile_made_in_code_is_checked():
    with pytest.raises(ValueError, match="wanted four channels of 0 to 1"):
        ArrayProfile("a", "foa", 2, (0, 1, 2, 3))


def test_foa_arrays_fit_models_for_foa_and_capsules_fit_their_own():
    assert load_array("foa_fuma").heard_as(("em32_tetra", "foa"))
    assert load_array("em32_tetra").heard_as(("foa", "em32_tetra"))
    assert not load_array("em32_tetra").heard_as(("foa",))
    assert not load_array("foa").heard_as(("em32_tetra",))


@pytest.mark.parametrize(
    ("key", "value"), [("name", "a\nb"), ("name", ""), ("name", "a\x07"), ("device", "a\nb"), ("device", "\ud800")]
)
def test_names_can_be_printed(key, value):
    with pytest.raises(ValueError, match=rf"^got {key} .*, wanted printable characters$"):
        replace(load_array("foa"), **{key: value})


@pytest.mark.parametrize("name", ["a\n", "a%h", 'a"', "a b", "a}", "$x", "a" * 16])
def test_names_of_arrays_with_a_card_are_those_of_alsa(name):
    """They get into a udev rule and into asound.conf."""
    with pytest.raises(ValueError, match=r"^got name "):
        replace(load_array("respeaker_usb4"), name=name)
