"""The six stages as calls: what each script at the top level does once its flags are read."""
