"""What every stage shares with its user: errors, flags, paths, progress and the last line."""
