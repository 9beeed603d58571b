"""The command `pylon`, and `python -m pylon`: the command line, or what to install to have it."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line; with the base install alone, say how to get it."""
    try:
        from pylon.interfaces.cli import main as run
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("pylon"):
            raise
        sys.exit(
            f"This is the base install (ontology and client); the command line needs {missing.name}.\n"
            'Install the rest with: pip install "pylon-deg[server]"'
        )
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
