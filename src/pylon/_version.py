"""The version of this installation."""

from importlib.metadata import PackageNotFoundError, version

__all__ = ["VERSION"]

try:
    VERSION = version("pylon-deg")
except PackageNotFoundError:  # running from a source tree that was never installed
    VERSION = "0.0.0"
