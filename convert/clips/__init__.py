"""Where sounds come from: libraries of mono clips."""
