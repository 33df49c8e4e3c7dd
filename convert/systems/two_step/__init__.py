"""Two-step in Keras: nets, targets, training stages."""
