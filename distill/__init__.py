"""What two or more of the scripts share. Scripts import from here; nothing here imports a script."""
