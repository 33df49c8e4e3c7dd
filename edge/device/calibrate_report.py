"""A calibration -> lines for the user, and edits of the settings file and of the profile of the array."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from edge.arrays.profile import ArrayProfile, shipped_arrays
from edge.device.calibrate import Calibration, Fit, ToldClaps
from edge.device.install import SETTINGS_PATH
from edge.device.system_files import array_setting
from edge.device.text_edits import TomlValue, with_toml_value
from edge.files import read_bounded_text
from edge.run_settings import RunSettings
from edge.settings import MOST_TOML_BYTES, build, parse_toml

_SIDES = {0: "the front", 90: "the left", 180: "the back", 270: "the right"}
_MOST_FITS = 3  # that are listed


def named_direction(azimuth_deg: float) -> str:
    """Name a direction: the left (90 degrees)."""
    degrees = f"{azimuth_deg:g} degrees"
    side = _SIDES.get(round(azimuth_deg) % 360) if float(azimuth_deg).is_integer() else None
    return f"{side} ({degrees})" if side else degrees


def report(calibration: Calibration, told: Sequence[ToldClaps], profile: ArrayProfile) -> Iterator[str]:
    """Say what was heard from each direction, what was fitted, and how sure it is."""
    fit = calibration.fit
    fits = iter(zip(fit.off_deg, fit.fitting, strict=True))
    for each in told:
        if each.claps is None:
            yield f"{named_direction(each.azimuth_deg)}: no clap heard; left out"
            continue
        off_deg, fitting = next(fits)
        heard = f"{each.claps.count} clap{'s' if each.claps.count > 1 else ''}, {abs(off_deg):.0f} degrees off"
        wrong = "" if fitting else ": does not fit the others; a wrong direction, or an echo? Left out"
        yield f"{named_direction(each.azimuth_deg)}: {heard}{wrong}"
    yield f"fit: {_described(fit, profile)}"
    if calibration.gains_db:
        gains = ", ".join(f"{gain_db:+.1f}" for gain_db in calibration.gains_db)
        yield f"levels of the capsules: {gains} dB, within {calibration.gains_spread_db:.1f} dB over the directions"
    if calibration.same:
        yield f"{len(calibration.same)} more fits give the same directions, as the array is symmetric; one of them:"
        yield f"  {_described(calibration.same[0], profile)}"
    if calibration.rivals:
        yield f"{len(calibration.rivals)} more fits explain the claps nearly as well, but give other directions:"
        yield from (f"  {_described(each, profile)}" for each in calibration.rivals[:_MOST_FITS])


def advice(calibration: Calibration) -> str:
    """Say what to do about a calibration that is not sure."""
    if calibration.rivals:
        return (
            "not sure: clap from more directions, some of them from above (AZIMUTH,ELEVATION), or say how the array "
            "hangs (--upside-down yes or no)"
        )
    return "not sure: too few claps fit; clap once more, at least 1 m from the array and from walls"


def settings_text(path: Path, calibration: Calibration, array: str) -> tuple[str, str]:
    """Put the mounting, and the array, into a settings file.

    Args:
        path: the file; it need not exist.
        calibration: whose yaw and side are set.
        array: value of `array`.

    Returns:
        The present text and the wanted one.

    Raises:
        ValueError: the file is not one of settings, cannot be edited, or has the array pitched.
    """
    present = read_bounded_text(path, MOST_TOML_BYTES) if path.exists() else ""
    pitch_deg = build(RunSettings, parse_toml(present, path), str(path)).mount.pitch_deg
    if pitch_deg:
        raise ValueError(f"{path}: got pitch_deg {pitch_deg:g} in [mount], wanted 0: a pitched array is not fitted")
    wanted = _edited(
        present,
        {
            "array": array,
            "mount.yaw_deg": round(calibration.fit.yaw_deg, 1),
            "mount.upside_down": calibration.fit.upside_down,
        },
        path,
    )
    build(RunSettings, parse_toml(wanted, path), str(path))
    return present, wanted


def profile_text(source: Path, target: Path, calibration: Calibration, profile: ArrayProfile) -> tuple[str, str]:
    """Put the order of the channels and the gains into a profile.

    Args:
        source: the file of the present profile.
        target: the file that is written; it need not exist.
        calibration: whose order and gains are set.
        profile: the present profile.

    Returns:
        The present text of `target` and the wanted one.

    Raises:
        ValueError: the profile cannot be edited.
    """
    present = read_bounded_text(target, MOST_TOML_BYTES) if target.exists() else ""
    values: dict[str, TomlValue] = {}
    if calibration.channel_map(profile) != profile.channel_map:
        values["channel_map"] = list(calibration.channel_map(profile))
    if calibration.capsule_gain_db(profile) != profile.capsule_gain_db:
        values["capsule_gain_db"] = list(calibration.capsule_gain_db(profile))
    wanted = _edited(read_bounded_text(source, MOST_TOML_BYTES), values, source)
    build(ArrayProfile, parse_toml(wanted, target), str(target))
    return present, wanted


def wanted_files(
    calibration: Calibration, profile: ArrayProfile, array: str, config: Path, target: Path | None
) -> dict[Path, tuple[str, str]]:
    """Collect the files to write: present and wanted text by path.

    Args:
        calibration: the calibration.
        profile: the present profile.
        array: name of the shipped profile, or path of its file.
        config: the settings file.
        target: file of the new profile, where one is needed; by default that of the array, or one beside the settings
            in place of a shipped one.

    Raises:
        ValueError: a file cannot be edited.
    """
    shipped = shipped_arrays().get(array)
    source = shipped or Path(array)
    changed = (calibration.channel_map(profile), calibration.capsule_gain_db(profile)) != (
        profile.channel_map,
        profile.capsule_gain_db,
    )
    files = {}
    if changed:
        target = target or (config.parent / f"{array}.toml" if shipped else source)
        files[target] = profile_text(source, target, calibration, profile)
        array = str(target)
    if config == Path("/") / SETTINGS_PATH:
        array = array_setting(array)  # which refuses what the service cannot see
    elif array not in shipped_arrays():
        array = str(Path(array).absolute())
    files[config] = settings_text(config, calibration, array)
    return {path: texts for path, texts in files.items() if texts[0] != texts[1]}


def _described(fit: Fit, profile: ArrayProfile) -> str:
    swapped = sorted(profile.channel_map[index] for index, place in enumerate(fit.order) if place != index)
    order = ", ".join(str(profile.channel_map[place]) for place in fit.order)
    channels = f", channels {', '.join(map(str, swapped))} swapped: channel_map = [{order}]" if swapped else ""
    return f"yaw_deg = {fit.yaw_deg:.1f}, upside_down = {str(fit.upside_down).lower()}{channels}"


def _edited(text: str, values: dict[str, TomlValue], path: Path) -> str:
    for key, value in values.items():
        try:
            text = with_toml_value(text, key, value)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
    return text
