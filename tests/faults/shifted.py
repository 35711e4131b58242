"""A process of the product whose clock is wrong: libfaketime shifts it, and a file that is rewritten sets it anew.

`Shifted` starts it; `python -m tests.faults.shifted` is it. Each line of its input is one request to the application
or one command of `flask`, each line of its output the answer, as JSON.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from tests.conftest import _KEYS, pay_environ

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))


class Shifted:
    """One process. `shift` as libfaketime writes it: `+10m`, `-1h`, `+0`."""

    def __init__(self, url: str, folder: Path, shift: str):
        folder.mkdir()
        self.file = folder / "clock"
        self.set(shift)
        settings = {**_KEYS, **pay_environ(), "DESK_DATABASE_URL": url, "DESK_INSTANCE_DIR": str(folder),
                    "DESK_REDIS_URL": "redis://127.0.0.1:1/0", "DESK_RATE_LIMITS": "off"}  # fmt: skip
        wrong = {"LD_PRELOAD": str(LIBRARIES[0]), "FAKETIME_TIMESTAMP_FILE": str(self.file), "FAKETIME_NO_CACHE": "1",
                 "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}  # fmt: skip
        with (folder / "log").open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.shifted"], env={**os.environ, **settings, **wrong}, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
            )  # fmt: skip

    def set(self, shift: str) -> None:
        """Set its clock, also while it runs."""
        new = self.file.with_suffix(".new")
        new.write_text(shift + "\n")
        new.replace(self.file)

    def _ask(self, **what: Any) -> dict[str, Any]:
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def request(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        """(status, JSON of the answer)"""
        answer = self._ask(method=method, path=path, more=more)
        return answer["status"], answer["body"]

    def flask(self, *command: str) -> str:
        """What the command prints."""
        return self._ask(flask=command)["said"]

    def now(self) -> float:
        return self._ask(now=True)["now"]

    def log(self) -> str:
        return (self.file.parent / "log").read_text()

    def stop(self) -> None:
        with self.process:
            self.process.stdin.close()
            self.process.wait(60)


def _serve() -> None:
    from app import clock, config, create_app, logs

    answers = sys.stdout
    with redirect_stdout(io.StringIO()):
        app = create_app(config.load(dict(os.environ), testing=True))
        logs.install(json_lines=True)
        for line in sys.stdin:
            answers.write(json.dumps(_answer(app, clock, json.loads(line))) + "\n")
            answers.flush()


def _answer(app, clock, asked: dict[str, Any]) -> dict[str, Any]:
    if "now" in asked:
        return {"now": clock.now().timestamp()}
    if "flask" in asked:
        return {"said": app.test_cli_runner().invoke(args=asked["flask"]).output}
    answer = app.test_client().open(asked["path"], method=asked["method"], **asked["more"])
    return {"status": answer.status_code, "body": answer.get_json(silent=True)}


if __name__ == "__main__":
    _serve()
