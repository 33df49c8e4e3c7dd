"""ETRI on the device (Park et al., DCASE 2020 Task 3)."""
