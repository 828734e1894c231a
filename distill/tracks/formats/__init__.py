"""Formats of tracks, one a module: files to ``Tracks``."""
