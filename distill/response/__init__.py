"""A response to the net force found behind the messages, with the pair law: composed, fitted and judged."""
