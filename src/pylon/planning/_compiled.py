"""How a kernel is compiled: strictly, so that the same inputs give the same bytes on every machine."""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any, Final, TypeVar, cast

import numba
from numba.core.caching import FunctionCache

__all__ = ["compiled", "inlined", "inner"]

NJIT: Any = numba.njit  # its published type does not know the options that leave wrappers out
OPTIONS: Final = {"error_model": "numpy", "no_cfunc_wrapper": True}

Kernel = TypeVar("Kernel", bound=Callable[..., object])


class _Kept(FunctionCache):
    """Machine code kept for the next process, until its module or one that it imports from changes.

    Left to itself a cache knows only of changes in the module of the kernel that Python calls.
    """

    def __init__(self, kernel: Callable[..., object]) -> None:
        super().__init__(kernel)  # type: ignore[no-untyped-call]
        self.sources = _sources(kernel.__module__)

    def load_overload(self, *of: Any) -> Any:
        try:
            return super().load_overload(*of)  # type: ignore[no-untyped-call]
        except (AttributeError, ImportError):  # it names a class that is no longer there
            self.flush()  # type: ignore[no-untyped-call]
            return None

    def _index_key(self, *of: Any) -> Any:
        return super()._index_key(*of), self.sources  # type: ignore[no-untyped-call]


def _sources(module: str) -> str:
    """Return a digest of a module and of all private modules of ours that it imports from, or they do."""
    ours = module.partition(".")[0]
    texts: dict[str, str] = {}
    left = [module]
    while left:
        name = left.pop()
        if name not in texts:
            texts[name] = inspect.getsource(import_module(name))
            for source, names in re.findall(r"^from (\S+) import (.*)", texts[name], re.MULTILINE):
                named = [source, *(f"{source}.{word}" for word in re.findall(r"\b_[a-z]\w*", names))]
                left += [one for one in named if re.match(rf"{ours}\.([a-z]\w*\.)*_[a-z]\w*$", one)]
    return hashlib.sha256("".join(texts[name] for name in sorted(texts)).encode()).hexdigest()


def compiled(kernel: Kernel) -> Kernel:
    """Return `kernel` as machine code, made on its first call and kept for the next process where that is possible.

    No fastmath and no threads: sums run in the order that is written down.
    """
    return _kept(NJIT(**OPTIONS)(kernel), kernel)


def inner(kernel: Kernel) -> Kernel:
    """Return `kernel` as machine code that only other kernels call, and that is kept with them."""
    return cast(Kernel, NJIT(no_cpython_wrapper=True, **OPTIONS)(kernel))


def inlined(kernel: Kernel) -> Kernel:
    """Return `kernel` as `inner` does, as a part of its callers: for one so short that a call takes as long."""
    return cast(Kernel, NJIT(forceinline=True, no_cpython_wrapper=True, **OPTIONS)(kernel))


def _kept(compiling: Any, kernel: Kernel) -> Kernel:
    with suppress(RuntimeError):  # no folder that may be written to: every process compiles for itself
        compiling._cache = _Kept(kernel)
    return cast(Kernel, compiling)
