"""What was measured, as tables, a figure and a page."""
