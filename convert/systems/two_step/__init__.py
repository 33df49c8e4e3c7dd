"""Two-step, the trainable half: nets, batches, scores, calibration. The device's half is `edge.systems.two_step`."""
