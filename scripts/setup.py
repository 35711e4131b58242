"""Make this folder ready: virtual environment, dependencies, front-end files. Standard library only.

`python3 scripts/setup.py run|test|lint|assets`. Each step leaves a stamp of what it was made from, so that the second
call takes a moment and a changed requirements file installs again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PY = VENV / "bin" / "python"
OLDEST = (3, 11)
OLDEST_NODE = 20

REQUIREMENTS = {"run": "requirements.txt", "assets": "requirements.txt"}
ASSET_SOURCES = ("package.json", "package-lock.json", "scripts/build_assets.mjs", "static/icons.txt")


def main() -> None:
    target = sys.argv[1] if len(sys.argv) > 1 else "run"
    os.chdir(ROOT)
    if os.name == "nt":
        fail("Windows 不能直接运行，请在 WSL 里执行。/ Please use WSL on Windows.")
    ensure_venv()
    ensure_packages(REQUIREMENTS.get(target, "requirements-dev.txt"))
    if target != "lint":
        ensure_assets(again=target == "assets")


def fail(message: str) -> None:
    sys.exit(f"\n✗ {message}\n")


def say(message: str) -> None:
    print(f"· {message}", flush=True)


# ── Python ──────────────────────────────────────────────────────────────────────────────────────────


def ensure_venv() -> None:
    """A virtual environment of a Python that is new enough; made again when its Python is gone."""
    if PY.exists() and works([str(PY), "-m", "pip", "--version"]):
        return
    python = new_enough()
    say(f"creating .venv with {python}")
    shutil.rmtree(VENV, ignore_errors=True)
    if not quietly([python, "-m", "venv", str(VENV)]):
        fail("could not create a virtual environment; on Debian or Ubuntu: apt-get install python3-venv")


def new_enough() -> str:
    """This Python, or a newer one by its versioned name."""
    if sys.version_info >= OLDEST:
        return sys.executable
    for minor in range(20, OLDEST[1] - 1, -1):
        found = shutil.which(f"python3.{minor}")
        if found:
            return found
    fail(f"Python {OLDEST[0]}.{OLDEST[1]} or newer is needed; this one is {sys.version.split()[0]}")
    raise AssertionError  # fail() has left


def ensure_packages(requirements: str) -> None:
    stamp = VENV / f".stamp-{requirements}"
    wanted = digest(*sorted(ROOT.glob("requirements*.txt")), of=str(PY.resolve()))
    if read(stamp) == wanted:
        return
    say(f"installing {requirements} (once; a minute or two)")
    began = time.monotonic()
    if not pip_install(requirements):
        fail(f"pip could not install {requirements}: see above")
    stamp.write_text(wanted)
    say(f"installed in {time.monotonic() - began:.0f} s")


def pip_install(requirements: str) -> bool:
    command = [str(PY), "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r", requirements]
    return quietly(command)


# ── front-end files ─────────────────────────────────────────────────────────────────────────────────


def ensure_assets(*, again: bool = False) -> None:
    stamp = ROOT / "static" / "vendor" / ".stamp"
    wanted = digest(*(ROOT / name for name in ASSET_SOURCES))
    if not again and read(stamp) == wanted:
        return
    env = with_node()
    say("building front-end files (once)")
    for command in (["npm", "ci", "--ignore-scripts", "--no-progress"], ["node", "scripts/build_assets.mjs"]):
        if not quietly(command, env):
            fail(f"`{' '.join(command)}` failed: see above")
    stamp.write_text(wanted)


def with_node() -> dict[str, str]:
    """An environment in which `node` and `npm` are new enough: the machine's own, else the ones in .venv."""
    if shutil.which("npm") and node_version() >= OLDEST_NODE:
        return dict(os.environ)
    env = {**os.environ, "PATH": f"{VENV / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"}
    if not (VENV / "bin" / "npm").exists():
        say("no recent Node here: installing one into .venv")
        if not pip_install("requirements-node.txt"):
            fail(f"Node could not be installed: see above, or install Node {OLDEST_NODE} or newer yourself")
    return env


def node_version() -> int:
    try:
        text = subprocess.run(["node", "--version"], capture_output=True, text=True).stdout
        return int(text.strip().lstrip("v").split(".")[0])
    except (OSError, ValueError):
        return 0


# ── small things ────────────────────────────────────────────────────────────────────────────────────


def quietly(command: list[str], env: dict[str, str] | None = None) -> bool:
    """Run it, and show what it said only if it failed."""
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        print(done.stdout, file=sys.stderr)
    return done.returncode == 0


def works(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True).returncode == 0


def digest(*files: Path, of: str = "") -> str:
    """Over the files' names and content, and a word more."""
    sums = hashlib.sha256(of.encode())
    for file in files:
        sums.update(b"\0" + file.name.encode() + b"\0" + file.read_bytes())
    return sums.hexdigest()


def read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


if __name__ == "__main__":
    main()
