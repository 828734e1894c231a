"""Arrays of numpy and of JAX: which of the two an array is of, and JAX as all that computes with it here loads it."""

import os

import numpy as np

LOOPS_WHOLE = (
    "--xla_backend_extra_options=xla_cpu_small_while_loop_byte_threshold=1000000000,xla_cpu_disable_loop_unrolling=true"
)


def import_jax():
    """JAX with 64-bit floats on: close encounters leave nothing of 32 bits.

    Loops are compiled whole, as ``lanes`` needs: XLA would call each of their parts by itself, at a cost
    above that of its arithmetic, and unroll what is as short as a vector before it could become one.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if "xla_backend_extra_options" not in flags:  # read by XLA when it first compiles
        os.environ["XLA_FLAGS"] = f"{LOOPS_WHOLE} {flags}".strip()
    import jax

    jax.config.update("jax_enable_x64", True)
    return jax


def array_module(array):
    """numpy, or jax.numpy where ``array`` is one of JAX's."""
    return np if isinstance(array, np.ndarray | float | int) else import_jax().numpy
