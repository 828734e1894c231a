"""Constants of a law, fitted to the observed positions of whole trajectories."""
