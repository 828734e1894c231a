"""From positions alone to what they say of accelerations: noise, smoothing, and windows of frames in the weak form."""
