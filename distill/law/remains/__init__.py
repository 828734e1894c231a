"""What a law leaves of the accelerations: whole trajectories, what may be found there, and whether anything is."""
