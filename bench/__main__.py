"""python -m bench: all measurements, one after the other."""

import subprocess
import sys

ALL = (
    *("events", "latency", "relay", "get", "workers", "services"),
    *("loyalty", "redeem", "balance", "checkout", "expiry"),
)

if __name__ == "__main__":
    codes = [
        subprocess.run([sys.executable, "-m", f"bench.{name}"], check=False).returncode
        for name in ALL
    ]
    sys.exit(max(codes))
