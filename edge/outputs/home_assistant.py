"""A device and its classes -> the MQTT topics and the discovery message by which Home Assistant shows them.

One retained discovery message (Home Assistant 2024.12 and later) on `DISCOVERY/device/NODE/config` describes, for each
class, a binary sensor that is on while the class is active, with the direction as attributes, and an event entity whose
attributes are the fields of the event; a sensor of the sound level; and diagnostic sensors. An empty message on the
same topic removes the device.
See https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edge import __version__

EVENT_TYPE = "heard"  # of an event outside of all sectors
ONLINE, OFFLINE = "online", "offline"
ON, OFF = "ON", "OFF"
HEALTH: dict[str, dict[str, str]] = {  # field of the health message -> options of its sensor
    "late_steps": {"name": "Steps late", "state_class": "total_increasing", "unit_of_measurement": "steps"},
    "lost_samples": {"name": "Samples lost", "state_class": "total_increasing", "unit_of_measurement": "samples"},
    "dropped": {"name": "Events dropped", "state_class": "total_increasing", "unit_of_measurement": "events"},
    "dead_workers": {"name": "Outputs that fail", "state_class": "measurement", "unit_of_measurement": "outputs"},
    "temperature_c": {
        "name": "Temperature",
        "device_class": "temperature",
        "state_class": "measurement",
        "unit_of_measurement": "°C",
    },
    "rss_mb": {
        "name": "Memory",
        "device_class": "data_size",
        "state_class": "measurement",
        "unit_of_measurement": "MB",
    },
}


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of a device. A class appears as its slug, see `slugs_of`."""

    prefix: str  # first levels of all topics

    @property
    def availability(self) -> str:
        """Topic of the retained state `online` or `offline`; the latter is the last will, too."""
        return f"{self.prefix}/availability"

    @property
    def health(self) -> str:
        """Topic of the retained health message: counts, temperature and memory as JSON."""
        return f"{self.prefix}/health"

    @property
    def level(self) -> str:
        """Topic of the retained sound level in dB, or `None` where it is not known."""
        return f"{self.prefix}/level"

    @property
    def listening(self) -> str:
        """Topic of the retained state of the run: `ON` while it listens, `OFF` while it is paused."""
        return f"{self.prefix}/listening"

    @property
    def listening_command(self) -> str:
        """Topic on which the run is told to listen, `ON`, or to pause, `OFF`."""
        return f"{self.prefix}/listening/set"

    def active(self, slug: str) -> str:
        """Topic of the retained state of a class: `ON` while it is active, else `OFF`."""
        return f"{self.prefix}/active/{slug}"

    def direction(self, slug: str) -> str:
        """Topic of the retained direction from which a class was last heard, as JSON."""
        return f"{self.prefix}/direction/{slug}"

    @property
    def live(self) -> str:
        """Topic of what sounds in each label frame, not retained."""
        return f"{self.prefix}/live"

    def update(self, slug: str) -> str:
        """Topic of updates of the events of a class that are not over, as JSON, not retained."""
        return f"{self.prefix}/update/{slug}"

    def event(self, slug: str) -> str:
        """Topic of the events of a class as JSON, not retained."""
        return f"{self.prefix}/event/{slug}"


def slug_of(name: str) -> str:
    """Reduce a name to lower-case letters, digits and underscores, for topics and ids. The result may be empty."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "_", plain).strip("_")


def slugs_of(names: Sequence[str]) -> dict[str, str]:
    """Map each name to a slug that differs from all others."""
    slugs: dict[str, str] = {}
    for name in names:
        slug = plain = slug_of(name) or "class"
        count = 1
        while slug in slugs.values():
            count += 1
            slug = f"{plain}_{count}"
        slugs[name] = slug
    return slugs


def event_type(sector: str | None) -> str:
    """Type of an event from a sector: Home Assistant shows `Knock: heard at door`."""
    return EVENT_TYPE if sector is None else f"{EVENT_TYPE} at {sector}"


def discovery_topic(discovery_prefix: str, node: str) -> str:
    """Topic on which a device announces itself."""
    return f"{discovery_prefix}/device/{node}/config"


def discovery(
    node: str,
    topics: Topics,
    class_names: Sequence[str],
    model: str,
    array: str,
    expire_after_s: int = 0,
    sectors: Sequence[str] = (),
    level: bool = False,
) -> dict[str, Any]:
    """Describe a device in Home Assistant's discovery format.

    Args:
        node: identifier of the device, of letters, digits, `_` and `-`.
        topics: the topics on which the device publishes.
        class_names: the classes that it recognizes.
        model: name of its bundle.
        array: name of its array profile.
        expire_after_s: time without a message on the topic of a state after which it is unavailable; 0 for never.
        sectors: names of the parts of the room from which events come.
        level: whether the sound level is published.

    Returns:
        The table to publish as JSON, retained, on `discovery_topic`.
    """
    components: dict[str, dict[str, Any]] = {}
    expiry = {"expire_after": expire_after_s} if expire_after_s else {}
    for name, slug in slugs_of(class_names).items():
        components[f"{slug}_active"] = {
            "platform": "binary_sensor",
            "name": name,
            "unique_id": f"{node}_{slug}_active",
            "device_class": "sound",
            "state_topic": topics.active(slug),
            "json_attributes_topic": topics.direction(slug),
            **expiry,
        }
        components[f"{slug}_event"] = {
            "platform": "event",
            "name": name,
            "unique_id": f"{node}_{slug}_event",
            "event_types": [event_type(sector) for sector in (None, *sectors)],
            "state_topic": topics.event(slug),
        }
    components["listening"] = {
        "platform": "switch",
        "name": "Listening",
        "unique_id": f"{node}_listening",
        "state_topic": topics.listening,
        "command_topic": topics.listening_command,
    }
    if level:
        components["level"] = {
            "platform": "sensor",
            "name": "Sound level",
            "unique_id": f"{node}_level",
            "device_class": "sound_pressure",
            "state_class": "measurement",
            "unit_of_measurement": "dB",
            "suggested_display_precision": 0,
            "state_topic": topics.level,
            **expiry,
        }
    for name, options in HEALTH.items():
        components[name] = {
            "platform": "sensor",
            "unique_id": f"{node}_{name}",
            "state_topic": topics.health,
            "value_template": f"{{{{ value_json.{name} }}}}",
            "entity_category": "diagnostic",
            **expiry,
            **options,
        }
    return {
        "device": {
            "identifiers": [node],
            "name": node,
            "manufacturer": "seld-edge",
            "model": f"{model}, array {array}",
            "sw_version": __version__,
        },
        "origin": {"name": "seld-edge", "sw_version": __version__},
        "availability_topic": topics.availability,
        "payload_available": ONLINE,
        "payload_not_available": OFFLINE,
        "qos": 1,
        "components": components,
    }
