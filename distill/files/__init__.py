"""What lies on disk: names, fields, datasets, messages, weights, and where each file came from."""
