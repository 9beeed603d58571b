"""What a GPU and a CPU core draw and bring, so that simulated sites and simulated jobs agree.

Assumption, after an eight-GPU server of about 10 kW with 112 cores and 2 TB, and a 192-core server of about 1.2 kW.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "CORES_PER_GPU",
    "GB_PER_CORE",
    "GB_PER_GPU",
    "KW_PER_CORE",
    "KW_PER_GPU",
    "TFLOPS_PER_CORE",
    "TFLOPS_PER_GPU",
]

KW_PER_GPU: Final = 1.3
TFLOPS_PER_GPU: Final = 989.0
CORES_PER_GPU: Final = 14
GB_PER_GPU: Final = 256
KW_PER_CORE: Final = 0.006
TFLOPS_PER_CORE: Final = 0.05
GB_PER_CORE: Final = 4
