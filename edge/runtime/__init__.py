"""The loop around the stages: pipeline, governor, statistics, supervision."""
