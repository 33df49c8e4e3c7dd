"""The loop from audio blocks to events: pipeline, governor, statistics, supervision by systemd."""
