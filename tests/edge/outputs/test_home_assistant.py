import json
import re

from hypothesis import given
from hypothesis import strategies as st

from edge.outputs.home_assistant import HEALTH, Topics, discovery, discovery_topic, event_type, slug_of, slugs_of

CLASSES = ("Female speech", "telephone", "Tür")


def announced(classes=CLASSES):
    return discovery("seld-edge-pi", Topics("seld-edge/pi"), classes, "coloc-edge", "foa")


def test_a_device_with_a_sensor_and_an_event_per_class():
    found = announced()
    assert discovery_topic("homeassistant", "seld-edge-pi") == "homeassistant/device/seld-edge-pi/config"
    assert found["device"]["identifiers"] == ["seld-edge-pi"] and found["device"]["model"] == "coloc-edge, array foa"
    assert found["origin"]["name"] == "seld-edge"
    assert found["availability_topic"] == "seld-edge/pi/availability"
    assert (found["payload_available"], found["payload_not_available"]) == ("online", "offline")
    assert found["components"]["female_speech_active"] == {
        "platform": "binary_sensor",
        "name": "Female speech",
        "unique_id": "seld-edge-pi_female_speech_active",
        "device_class": "sound",
        "state_topic": "seld-edge/pi/active/female_speech",
        "json_attributes_topic": "seld-edge/pi/direction/female_speech",
    }
    assert found["components"]["tur_event"] == {
        "platform": "event",
        "name": "Tür",
        "unique_id": "seld-edge-pi_tur_event",
        "event_types": ["heard"],
        "state_topic": "seld-edge/pi/event/tur",
    }
    assert len(found["components"]) == 2 * len(CLASSES) + len(HEALTH) + 1


def test_health_is_diagnostic():
    components = announced()["components"]
    for entry in ("late_steps", "lost_samples", "dropped", "dead_workers", "temperature_c", "rss_mb"):
        sensor = components[entry]
        assert (sensor["platform"], sensor["entity_category"]) == ("sensor", "diagnostic")
        assert sensor["state_topic"] == "seld-edge/pi/health"
        assert sensor["value_template"] == f"{{{{ value_json.{entry} }}}}"
        assert {"name", "state_class", "unit_of_measurement"} <= sensor.keys()


def test_states_expire_where_messages_are_repeated():
    """Event entities and switches have no such option."""
    found = discovery("seld-edge-pi", Topics("seld-edge/pi"), CLASSES, "coloc-edge", "foa", 180)
    for part in found["components"].values():
        assert part.get("expire_after") == (180 if "sensor" in part["platform"] else None)
    assert not any("expire_after" in part for part in announced()["components"].values())


def test_types_of_events_name_their_sectors():
    found = discovery("pi", Topics("seld/pi"), CLASSES, "coloc-edge", "foa", 0, ("door", "window"))
    assert found["components"]["tur_event"]["event_types"] == ["heard", "heard at door", "heard at window"]
    assert [event_type(sector) for sector in (None, "door")] == ["heard", "heard at door"]


def test_requirements_of_home_assistant():
    """Every component has a platform and a distinct id, no name repeats that of the device, nothing is deprecated."""
    found = announced()
    components = found["components"].values()
    assert all(part["platform"] in {"binary_sensor", "event", "sensor", "switch"} for part in components)
    assert len({part["unique_id"] for part in components}) == len(components)
    assert not any(part["name"].startswith(found["device"]["name"]) for part in components)
    assert not any("object_id" in part for part in components)
    json.dumps(found)


def test_slugs():
    assert [slug_of(name) for name in ("Door, slam!", "Größe", "a__b", "語")] == ["door_slam", "groe", "a_b", ""]
    assert slugs_of(["a b", "a-b", "語"]) == {"a b": "a_b", "a-b": "a_b_2", "語": "class"}


@given(st.lists(st.text(max_size=6), unique=True, max_size=8))
def test_any_class_names_get_distinct_topics_and_ids(names):
    slugs = slugs_of(names)
    assert len(set(slugs.values())) == len(names)
    assert all(re.fullmatch(r"[a-z0-9_]+", slug) for slug in slugs.values())
    assert len(announced(names)["components"]) == 2 * len(names) + len(HEALTH) + 1


def test_a_sensor_of_the_sound_level_where_it_is_measured():
    found = discovery("pi", Topics("seld/pi"), CLASSES, "coloc-edge", "foa", 180, level=True)["components"]["level"]
    assert (found["device_class"], found["unit_of_measurement"]) == ("sound_pressure", "dB")
    assert (found["state_topic"], found["expire_after"]) == ("seld/pi/level", 180)
    assert "level" not in announced()["components"]
