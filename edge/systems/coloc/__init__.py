"""CoLoC on the device (Kapka, DCASE 2022 Task 3), in two modes."""
