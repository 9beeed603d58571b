"""The original's `python api_server.py`: serve the API, with scheduled updates. `pylon serve` is the same."""

from pylon.interfaces.cli import main

if __name__ == "__main__":
    main(["serve"])
