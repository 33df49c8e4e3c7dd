"""The workstation side of seld-edge: scenes, training, quantization, evaluation and export of bundles."""
