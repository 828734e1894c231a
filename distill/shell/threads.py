"""Threads and devices of the numerical libraries."""

import os
import sys

from distill.shell.errors import UserError
from distill.shell.memory import keep_few_kernels


def set_threads(n: int) -> None:
    """Limit the numerical libraries to ``n`` threads: those to be loaded by the environment, those loaded by a call."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NPROC"):  # the last is XLA's
        os.environ[name] = str(n)
    flags = os.environ.get("XLA_FLAGS", "")
    if n == 1 and "xla_cpu_multi_thread_eigen" not in flags:
        extra = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        os.environ["XLA_FLAGS"] = f"{flags} {extra}".strip()
    if "numpy" in sys.modules:  # its BLAS has read the environment already
        from threadpoolctl import threadpool_limits

        threadpool_limits(n)


def pick_device(name: str, threads: int) -> str:
    """ "cuda" or "cpu" for ``--device``, with torch limited to ``threads`` and to few compiled kernels;
    ``UserError`` if asked in vain.
    """
    import torch

    keep_few_kernels()
    torch.set_num_threads(threads)
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: this machine has no CUDA device", "use --device cpu or auto")
    return "cuda" if name != "cpu" and torch.cuda.is_available() else "cpu"
