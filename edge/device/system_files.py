"""A board and an array -> edits of the system files around the service.

The texts come from the folders `firmware_config` and `systemd`, with values of the two profiles filled in.
"""

from __future__ import annotations

import logging
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import resources
from pathlib import Path
from string import Template

from edge.arrays.profile import ArrayProfile, shipped_arrays
from edge.device.board import BoardProfile
from edge.device.install import HIDDEN, SETTINGS_PATH, UNIT, shipped
from edge.device.text_edits import with_block, with_toml_value, without_block
from edge.run_settings import RunSettings
from edge.settings import build

ASOUND_PATH = Path("etc/asound.conf")
RULES_PATH = Path("etc/udev/rules.d/85-seld-edge.rules")
BOOT_PATH = Path("boot/firmware/config.txt")
BOARD_PATH = Path("etc/systemd/system") / f"{UNIT}.d" / "board.conf"
SHARED = (ASOUND_PATH, BOOT_PATH)
"""Files that others edit, too: our part is a marked block."""

_ALSA_FORMATS = {"s16le": "S16_LE", "s32le": "S32_LE", "f32le": "FLOAT_LE"}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SystemFile:
    """A file and the edit that it needs. Texts are None for a file that does not exist."""

    path: Path  # relative to the prefix
    edit: Callable[[str | None], str | None]  # from the present text to the wanted one; raises ValueError


def array_setting(name: str) -> str:
    """Return the value of `array` in the settings of the service.

    Args:
        name: name of a shipped profile, or path of a TOML file.

    Raises:
        ValueError: the service could not see the file.
    """
    if name in shipped_arrays():
        return name
    path = str(Path(name).absolute())
    if path.startswith(HIDDEN):
        raise ValueError(f"got array in {path}, wanted it where the service sees it: in /etc/seld-edge, say")
    return path


def system_files(board: BoardProfile, array: ArrayProfile, setting: str) -> list[SystemFile]:
    """Return all files that `seld-edge apply` edits.

    Args:
        board: gives cores, CPU governor, threads and budget.
        array: gives ALSA definition, udev rule and boot options.
        setting: the value of `array` in the settings of the service, see `array_setting`.
    """
    asound = rules = boot = None
    if array.card is None:
        log.warning(
            "array %s has no sound card in its profile: it gets no ALSA definition and no udev rule",
            array.name,
        )
    else:
        asound = _filled("alsa/array.conf", **_alsa(array))
        if array.card.usb is not None:
            vendor, _, product = array.card.usb.partition(":")
            rules = _filled("udev/85-seld-edge.rules", name=array.name, vendor=vendor, product=product)
        if array.card.boot:
            boot = "\n".join(["[all]", *array.card.boot])
    cores = " ".join(map(str, board.cores))
    drop_in = _filled("systemd/board.conf", name=board.name, cores=cores, cpu_governor=board.cpu_governor)
    return [
        SystemFile(BOOT_PATH, partial(_block, boot)),
        SystemFile(ASOUND_PATH, partial(_block, asound)),
        SystemFile(RULES_PATH, lambda present: rules),
        SystemFile(BOARD_PATH, lambda present: drop_in),
        SystemFile(SETTINGS_PATH, partial(_settings, board, setting)),
    ]


def _alsa(array: ArrayProfile) -> dict[str, str | int]:
    assert array.card is not None and array.format is not None and array.native_rate_hz is not None
    return {
        "name": array.name,
        "card": array.card.id or array.name,
        "format": _ALSA_FORMATS[array.format],
        "rate_hz": array.native_rate_hz,
        "channels": array.channels,
    }


def _filled(file: str, **values: str | int) -> str:
    return Template((resources.files("firmware_config") / file).read_text(encoding="utf-8")).substitute(values)


def _block(inside: str | None, present: str | None) -> str | None:
    if inside is not None:
        return with_block(present or "", inside)
    return None if present is None else without_block(present)


def _settings(board: BoardProfile, array: str, present: str | None) -> str:
    text = with_toml_value(shipped("config.toml") if present is None else present, "array", array)
    settings = build(RunSettings, tomllib.loads(text.replace("\r\n", "\n")), "as it is")
    if settings.threads != board.threads:
        text = with_toml_value(text, "threads", board.threads)
    if settings.budget.step_ms != board.step_ms:
        text = with_toml_value(text, "budget.step_ms", board.step_ms)
    return text
