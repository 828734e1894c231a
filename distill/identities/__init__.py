"""Values of particles that nobody measured: masses, charges and types, learnt from motion beside the pair force."""
