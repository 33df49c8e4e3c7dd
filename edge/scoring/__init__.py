"""Labels and predictions -> scores."""
