"""ETRI in Keras: nets, targets, training stages."""
