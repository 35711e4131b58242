"""Attacks on a running product with the demo's data: sqlmap on its addresses, schemathesis on its contract."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import venv
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
#: asked for by no other part; `requirements-dev.txt` stays light
SCHEMATHESIS = "4.32.5"
_HOLE = re.compile(r"Parameter: .+|is vulnerable", re.MULTILINE)
_GENERATED = re.compile(r"(\d+) generated")
_BROKEN = re.compile(r"^_+ ((?:GET|POST|PUT|PATCH|DELETE) \S+) _+$", re.MULTILINE)
_CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance"
)
_SIGN_OUT = "/api/v1/auth/logout"
#: parameter of a path → the list that has such ids
_LISTS = {
    "schedule_id": "/schedules", "booking_id": "/bookings/my", "profile_id": "/profiles",
    "transaction_id": "/wallet/transactions", "notification_id": "/notifications", "waitlist_id": "/waitlist/my",
    "withdrawal_id": "/withdrawals/my",
}  # fmt: skip


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
    """schemathesis on the OpenAPI document, as a signed-in parent; no 5xx, answers as the document says.

    With ids as they come, then with ids of this parent's own rows, and signing out last: after it all doors are closed.
    """
    tool, found, facts = _schemathesis(), set(), {"examples a call": examples, "generated": 0}
    with product() as running, tempfile.TemporaryDirectory() as folder:
        token = f"Authorization: Bearer {_parent(running)}"
        own = Path(folder) / "own.toml"
        own.write_text(_own_ids(running.url, token))
        rounds = ((), ("--exclude-path", _SIGN_OUT)), (("--config-file", str(own)), ("--exclude-path", _SIGN_OUT)), (
            (), ("--include-path", _SIGN_OUT)
        )  # fmt: skip
        for before, which in rounds:
            if which[0] == "--include-path" and not _asked(running.url, token, "/me").ok:
                found.add("schemathesis: the parent was signed out meanwhile")
            said = _until(
                [tool, *before, "run", f"{running.url}/api/v1/openapi.json", *which, "-H", token, "--checks", _CHECKS,
                 "--max-examples", str(examples), "--phases", "examples,fuzzing", "--seed", "1", "--no-color"],
                1200, folder,
            )  # fmt: skip
            facts["generated"] += int((_GENERATED.search(said) or ["", "0"])[1])
            found |= {f"schemathesis: {call}" for call in _BROKEN.findall(said)}
            if "=== SUMMARY ===" not in said:
                found.add(f"schemathesis did not end: {said[-200:]!r}")
    return {"open": sorted(found), "facts": facts}


def _own_ids(url: str, token: str) -> str:
    """A configuration of schemathesis that names rows of this parent, as far as the demo gives any."""
    found = {}
    for name, path in _LISTS.items():
        items = _asked(url, token, path).json()["data"]
        items = items["items"] if isinstance(items, dict) else items
        if items:
            found[name] = items[0]["id"]
    return "[parameters]\n" + "".join(f'"path.{name}" = {one!r}\n' for name, one in found.items())


def _asked(url: str, token: str, path: str) -> requests.Response:
    name, _, value = token.partition(": ")
    return requests.get(f"{url}/api/v1{path}", headers={name: value}, timeout=10)


def _schemathesis() -> str:
    """The tool in an environment of its own, made once: what it needs is nobody else's business."""
    home = ROOT / ".venv" / "security"
    tool = home / "bin" / f"schemathesis-{SCHEMATHESIS}"
    if not tool.exists():
        venv.create(home, with_pip=True, clear=True)
        wanted = [home / "bin" / "pip", "install", "-q", "--disable-pip-version-check", f"schemathesis=={SCHEMATHESIS}"]
        if subprocess.run(wanted, capture_output=True).returncode:
            raise NotHere(f"schemathesis {SCHEMATHESIS} could not be installed")
        # Named with its version last of all, so that half an installation is made again and another version too.
        tool.symlink_to("schemathesis")
    return str(tool)


def _until(command: list[str], seconds: int, folder: str | Path = ROOT) -> str:
    """What a command says; one that takes too long is ended, and what it said until then counts."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired as late:
        return (late.stdout or b"").decode(errors="replace")
    return done.stdout + done.stderr


def _auditor(url: str) -> str:
    """The cookie of the demo's auditor, signed in by the page."""
    browser = requests.Session()
    page = browser.get(f"{url}/sign-in", timeout=10).text
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)
    if token is None:
        raise RuntimeError("the sign-in page has no form")
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
