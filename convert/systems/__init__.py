"""The Keras side of each system; `edge/systems` holds the device side under the same names."""
