from edge.arrays.fitting import fitting_arrays
from edge.audio.microphone import InputDevice


def test_arrays_that_fit_a_device():
    def fitting(name, channels, *rates_hz):
        return fitting_arrays(InputDevice(0, name, channels, 48000, rates_hz))

    assert fitting("ReSpeaker 4 Mic Array (UAC1.0): USB Audio (hw:1,0)", 6, 16000) == ["respeaker_usb4"]
    assert fitting("respeaker 4 mic array", 1, 16000) == ["respeaker_usb4, but it wants 6 channels"]
    assert fitting("ReSpeaker 4 Mic Array", 2, 48000) == ["respeaker_usb4, but it wants 6 channels and 16000 Hz"]
    assert fitting("seeed-4mic-voicecard: ac10x (hw:2,0)", 4, 16000, 48000) == ["seeed_4mic"]
    assert fitting("USB Audio", 6, 16000) == []
