"""Tracks that somebody else recorded or simulated: readers of their files, cut and completed to a dataset."""
