"""What two or more of the pipeline's scripts share. Scripts import from here; nothing here imports a script."""
