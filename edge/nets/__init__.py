"""Bundle on disk -> nets that are called by the names of their tensors."""
