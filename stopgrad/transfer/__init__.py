"""Backbones on several data sets: one protocol, each data set's own metric, one table."""
