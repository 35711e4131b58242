"""Attacks on a running product with the demo's data: sqlmap on its addresses, schemathesis on its contract."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from app.cli.demo.names import PASSWORD
from scripts.security.checks import NotHere, Result
from scripts.security.evidence import ROOT
from tests import databases
from tests.e2e.product import Product, running_product

#: pages whose address holds what people type, as the auditor opens them
PAGES = (
    "/search?q=zxm", "/adjustments?status=pending&before=5", "/audit?action=staff.&request_id=a&from=2026-01-01",
    "/orders?status=paid&q=1", "/notices?channel=feishu&outcome=sent", "/reports/waitlist?from=2026-01-01&type=1",
    "/families/1?type=recharge&before=9",
)  # fmt: skip
#: the parents' calls
CALLS = ("/api/v1/schedules?date_from=2026-01-01&limit=5", "/api/v1/wallet/transactions?type=recharge&limit=5")
_HOLE = re.compile(r"Parameter: .+|is vulnerable", re.MULTILINE)
_COUNTS = re.compile(r"(\d+) (generated|found|skipped|passed|failed)")


@contextmanager
def product() -> Iterator[Product]:
    """A product of its own, gone afterwards. Its database is the first that this machine has."""
    engine = databases.engines()[0]
    with (
        tempfile.TemporaryDirectory(prefix="desk-security-") as folder,
        running_product(engine, Path(folder), redis_url="embedded") as running,
    ):
        yield running


def sqlmap(seconds: int) -> Result:
    """sqlmap on every parameter, at most `seconds` for each address."""
    if shutil.which("sqlmap") is None:
        raise NotHere("sqlmap is not installed (apt-get install sqlmap)")
    found, tried = [], 0
    with product() as running, tempfile.TemporaryDirectory() as folder:
        cookie, token = _auditor(running.url), _parent(running)
        for path in PAGES + CALLS:
            header = f"Authorization: Bearer {token}" if path.startswith("/api/") else f"Cookie: {cookie}"
            command = ["sqlmap", "-u", running.url + path, "-H", header, "--batch", "--level=1", "--risk=1",
                       "--technique=BEUT", "--threads=2", "--flush-session", f"--output-dir={folder}",
                       "--disable-coloring", "--ignore-code=401"]  # fmt: skip
            said = _until(command, seconds)
            tried += 1
            found += [f"sqlmap: {path}: {line}" for line in _HOLE.findall(said)]
    return {"open": found, "facts": {"addresses": tried, "seconds an address at most": seconds}}


def contract(examples: int) -> Result:
    """schemathesis on the OpenAPI document, as a signed-in parent; no 5xx, answers as the document says."""
    if shutil.which("schemathesis") is None:
        raise NotHere("schemathesis is not on the PATH (pipx install schemathesis==4.32.5)")
    with product() as running:
        said = _until(
            ["schemathesis", "run", f"{running.url}/api/v1/openapi.json",
             "-H", f"Authorization: Bearer {_parent(running)}", "--checks",
             "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
             "--max-examples", str(examples), "--phases", "examples,fuzzing", "--seed", "1", "--no-color"],
            1200,
        )  # fmt: skip
    broken = sorted(set(re.findall(r"^_+ ((?:GET|POST|PUT|PATCH|DELETE) \S+) _+$", said, re.MULTILINE)))
    facts = {name: int(number) for number, name in _COUNTS.findall(said)} | {"examples a call": examples}
    return {"open": [f"schemathesis: {call}" for call in broken], "facts": facts}


def _until(command: list[str], seconds: int) -> str:
    """What a command says; one that takes too long is ended, and what it said until then counts."""
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired as late:
        return (late.stdout or b"").decode(errors="replace")
    return done.stdout + done.stderr


def _auditor(url: str) -> str:
    """The cookie of the demo's auditor, signed in by the page."""
    browser = requests.Session()
    page = browser.get(f"{url}/sign-in", timeout=10).text
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)
    assert token, "the sign-in page has a form"
    browser.post(
        f"{url}/sign-in", data={"username": "shenji", "password": PASSWORD, "csrf_token": token[1]},
        headers={"Origin": url}, timeout=10,
    ).raise_for_status()  # fmt: skip
    return "; ".join(f"{one.name}={one.value}" for one in browser.cookies)


def _parent(running: Product) -> str:
    """An access token of the first parent whom the sandbox's phone plays."""
    code = running.sandbox.code_for(next(iter(running.sandbox.state.parents)))
    answer = requests.post(f"{running.url}/api/v1/auth/login", json={"code": code}, timeout=10)
    answer.raise_for_status()
    return answer.json()["data"]["access_token"]
