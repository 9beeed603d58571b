"""How a kernel is compiled: strictly, so that the same inputs give the same bytes on every machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

__all__ = ["compiled", "inner"]

NJIT: Any = numba.njit  # its published type does not know the options that leave wrappers out

Kernel = TypeVar("Kernel", bound=Callable[..., object])


def compiled(kernel: Kernel) -> Kernel:
    """Return `kernel` as machine code, made on its first call and kept for the next process where that is possible.

    No fastmath and no threads: sums run in the order that is written down. A kernel calls only kernels of its own
    module, because what is kept is not made anew when another module changes. It takes plain arrays and numbers and
    writes into arrays it is given: tuples of arrays take many times longer to compile.
    """
    try:
        return cast(Kernel, NJIT(cache=True, error_model="numpy", no_cfunc_wrapper=True)(kernel))
    except RuntimeError:  # no folder that may be written to: every process compiles for itself
        return cast(Kernel, NJIT(error_model="numpy", no_cfunc_wrapper=True)(kernel))


def inner(kernel: Kernel) -> Kernel:
    """Return `kernel` as machine code that only other kernels call, and that is kept with them."""
    return cast(Kernel, NJIT(error_model="numpy", no_cfunc_wrapper=True, no_cpython_wrapper=True)(kernel))
