"""A device and its classes -> what Home Assistant is told over MQTT, so that it shows them by itself.

One retained message of device discovery (Home Assistant 2024.12 and later) on `DISCOVERY/device/NODE/config`: for each
class a binary sensor, on while it sounds, and an event entity whose attributes are the record of the event; and
diagnostic sensors. An empty message in its place removes the device.
See https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edge import __version__

EVENT_TYPE = "heard"
ONLINE, OFFLINE = "online", "offline"
ON, OFF = "ON", "OFF"
HEALTH: dict[str, dict[str, str]] = {  # by entry of the health message
    "late_steps": {"name": "Steps late", "state_class": "total_increasing", "unit_of_measurement": "steps"},
    "lost_samples": {"name": "Samples lost", "state_class": "total_increasing", "unit_of_measurement": "samples"},
    "dropped": {"name": "Events dropped", "state_class": "total_increasing", "unit_of_measurement": "events"},
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
    """Where things are said: all under one prefix, the class as its slug."""

    prefix: str

    @property
    def availability(self) -> str:
        """Retained: online, or offline, which is the last will too."""
        return f"{self.prefix}/availability"

    @property
    def health(self) -> str:
        """Retained: counts, temperature and memory as JSON."""
        return f"{self.prefix}/health"

    def active(self, slug: str) -> str:
        """Retained: ON while a class sounds, else OFF."""
        return f"{self.prefix}/active/{slug}"

    def event(self, slug: str) -> str:
        """Not retained: events of a class as JSON."""
        return f"{self.prefix}/event/{slug}"


def slug_of(name: str) -> str:
    """A name for topics and ids: lower case letters, digits and underscores; may be empty."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "_", plain).strip("_")


def slugs_of(names: Sequence[str]) -> dict[str, str]:
    """A slug for each name, different from all others."""
    slugs: dict[str, str] = {}
    for name in names:
        slug = plain = slug_of(name) or "class"
        count = 1
        while slug in slugs.values():
            count += 1
            slug = f"{plain}_{count}"
        slugs[name] = slug
    return slugs


def discovery_topic(discovery_prefix: str, node: str) -> str:
    """Where a device announces itself."""
    return f"{discovery_prefix}/device/{node}/config"


def discovery(node: str, topics: Topics, class_names: Sequence[str], model: str, array: str) -> dict[str, Any]:
    """What a device announces: to be sent as JSON, retained. node: identifies it, of letters, digits, `_` and `-`."""
    components: dict[str, dict[str, Any]] = {}
    for name, slug in slugs_of(class_names).items():
        components[f"{slug}_active"] = {
            "platform": "binary_sensor",
            "name": name,
            "unique_id": f"{node}_{slug}_active",
            "device_class": "sound",
            "state_topic": topics.active(slug),
        }
        components[f"{slug}_event"] = {
            "platform": "event",
            "name": name,
            "unique_id": f"{node}_{slug}_event",
            "event_types": [EVENT_TYPE],
            "state_topic": topics.event(slug),
        }
    for entry, options in HEALTH.items():
        components[entry] = {
            "platform": "sensor",
            "unique_id": f"{node}_{entry}",
            "state_topic": topics.health,
            "value_template": f"{{{{ value_json.{entry} }}}}",
            "entity_category": "diagnostic",
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
