"""The device and the events that tests of MQTT send."""

from edge.outputs.device_info import DeviceInfo
from edge.types import Event

DEVICE = DeviceInfo("coloc-edge", "foa", ("bell", "Female speech"), lambda: {"steps": 7, "temperature_c": None})


def bell(number=0):
    return Event("bell", float(number), number + 0.5, 30.0, -20.0, 0.9)
