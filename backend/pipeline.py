"""The original's `python pipeline.py`: run the pipeline once. `pylon pipeline` is the same."""

from pylon.interfaces.cli import main

if __name__ == "__main__":
    main(["pipeline"])
