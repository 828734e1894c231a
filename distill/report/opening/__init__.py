"""What a reader of a report is told first, in sentences: the law, how far to trust it, what the network added, and
where it fails or was not tested. ``screen`` puts them on the page.
"""
