"""Other people's programs that a scorecard compares with, brought into the cache on first use."""

import ctypes.util
import os
import pathlib
import subprocess
import sys

CACHE = pathlib.Path(os.environ.get("HEADROOM_CACHE", pathlib.Path.home() / ".cache" / "headroom")) / "peers"

# A receiver of OTLP in Rust, from a Python package that carries the program.
ROTEL = "rotel==0.0.1a15"


class Unavailable(Exception):
    """It cannot be had here; the message says why."""


def run(*command, cwd=None):
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        raise Unavailable((done.stderr or done.stdout).strip().splitlines()[-1][:300])
    return done.stdout


def rotel():
    """The path of the program."""
    venv = CACHE / "rotel"
    found = sorted(venv.glob("lib/python*/site-packages/rotel/rotel-agent"))
    if not found:
        CACHE.mkdir(parents=True, exist_ok=True)
        run(sys.executable, "-m", "venv", venv)
        run(venv / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", ROTEL)
        found = sorted(venv.glob("lib/python*/site-packages/rotel/rotel-agent"))
    if not found:
        raise Unavailable(f"{ROTEL} has no program for this machine")
    found[0].chmod(0o755)
    return found[0]


def jemalloc():
    """A shared library to preload: the system's, else the one of Debian's package, unpacked and not installed."""
    if name := ctypes.util.find_library("jemalloc"):
        return name
    directory = CACHE / "jemalloc"
    found = sorted(directory.glob("usr/lib/*/libjemalloc.so.2"))
    if not found:
        directory.mkdir(parents=True, exist_ok=True)
        try:
            run("apt-get", "download", "libjemalloc2", cwd=directory)
            run("dpkg-deb", "-x", next(directory.glob("libjemalloc2_*.deb")), directory)
        except (FileNotFoundError, StopIteration) as error:
            raise Unavailable(f"no jemalloc: {error}") from error
        found = sorted(directory.glob("usr/lib/*/libjemalloc.so.2"))
    if not found:
        raise Unavailable("the package libjemalloc2 holds no libjemalloc.so.2")
    return found[0]
