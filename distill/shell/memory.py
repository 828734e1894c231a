"""What a process keeps of the memory that it has used."""

import os

# Steps of equal graphs use the same products again. The network that needs most, "pm", needs room for more than 40: in
# less every product would be compiled again at every step.
KERNELS = 48
# of oneDNN, and of the layer between it and torch, which keeps more beside; both have 1024 unless told otherwise
CAPACITIES = "ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"


def keep_few_kernels(count: int = KERNELS) -> None:
    """Let oneDNN keep ``count`` compiled products of matrices; to be called before it is first used, which is when it
    reads the environment. Whoever has set a number there decides.

    A product is compiled for the sizes of its matrices and takes about 0.5 MB. Where frames have edges of their own, as
    in a periodic box, sizes are new at every step: what was compiled is hardly used again, and yet kept in two places.
    It also lies between the tensors that come and go, so that the room that these leave is found again for smaller
    ones only: these holes cost more than the kernels, and the more the longer a kernel is kept. Results do not depend
    on it. ``benchmarks/fluid_memory.py`` measures both.
    """
    for name in CAPACITIES:
        os.environ.setdefault(name, str(count))
