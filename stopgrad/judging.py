"""Judging a run: the backbone beside raw pixels and random initialisation, on the images that have labels."""
