"""TrackFrames of a system -> events, decoded label frames and their records."""
