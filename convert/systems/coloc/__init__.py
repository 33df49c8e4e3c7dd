"""CoLoC in Keras: nets, targets, training stages."""
