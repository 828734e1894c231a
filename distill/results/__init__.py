"""What stages make, as objects that a person can ask, print, show in a notebook and draw."""
