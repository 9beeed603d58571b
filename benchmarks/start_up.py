"""From `pylon up` to the first live state: cold (no database yet) and warm (the second start), after installation.

python benchmarks/start_up.py [--rounds 3]
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path


def first_answer_s(home: Path) -> float:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = {**os.environ, "PYLON_HOME": str(home), "PYLON_PORT": str(port)}
    began = time.perf_counter()
    process = subprocess.Popen(
        [Path(sys.executable).parent / "pylon", "up"], env=environment, stdout=subprocess.DEVNULL
    )
    try:
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/live-state") as response:
                    response.read()
                return time.perf_counter() - began
            except OSError:
                if process.poll() is not None:
                    raise SystemExit("pylon up ended before it answered") from None
                time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    cold, warm = [], []
    for _ in range(rounds):
        home = Path(tempfile.mkdtemp(prefix="pylon-bench-"))
        home.chmod(0o755)
        try:
            cold.append(first_answer_s(home))
            warm.append(first_answer_s(home))
        finally:
            from pylon.store import embedded

            embedded.destroy(home, force=True)
            shutil.rmtree(home, ignore_errors=True)
    print(f"pylon up to the first live state, median (worst) of {rounds}, on {platform.machine()}")
    print(f"  cold {statistics.median(cold):5.1f} s ({max(cold):.1f})   bound 15 s")
    print(f"  warm {statistics.median(warm):5.1f} s ({max(warm):.1f})   bound  4 s")


if __name__ == "__main__":
    main()
