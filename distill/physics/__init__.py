"""Systems, laws, and the integration of their motion."""
