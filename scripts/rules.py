"""The project's own rules, which no linter knows (S10): `make lint` runs them, tests/architecture shows that they bite.

Each rule takes one file and yields (line, sentence). A rule that needs an exception names it here, with its reason.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
Complaint = tuple[int, str]
MAX_LINES = 500
#: longer, with a reason: the one owner of commit is read as a whole
LONG = {"app/db.py": 560}


def _calls(tree: ast.AST) -> Iterator[tuple[ast.Call, str]]:
    """Every call with the last part of its name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            yield node, name


def _inside(path: str, *folders: str) -> bool:
    return path.startswith(folders)


# ── Python ──────────────────────────────────────────────────────────────────────────────────────────


def only_db_commits(path: str, text: str, tree: ast.AST) -> Iterator[Complaint]:
    """`app/db.py` is the one owner of commit."""
    if _inside(path, "app/", "tasks/") and path != "app/db.py":
        for node, name in _calls(tree):
            if name in ("commit", "begin_nested"):
                yield node.lineno, f".{name}() belongs to app/db.py alone: write a use case"


_MONEY_SQL = re.compile(
    r"\b(UPDATE|INSERT\s+INTO|REPLACE\s+INTO|DELETE\s+FROM)\s+(wallets|wallet_transactions)\b", re.I
)


def only_the_ledger_moves_money(path: str, text: str, tree: ast.AST) -> Iterator[Complaint]:
    """No balance is written and no transaction row made outside app/domain/ledger (R3)."""
    if not _inside(path, "app/", "tasks/") or _inside(path, "app/domain/ledger/"):
        return
    for node in ast.walk(tree):
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        for target in targets if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign) else []:
            if isinstance(target, ast.Attribute) and target.attr in ("balance", "head_hash") and not _is_own(target):
                yield node.lineno, f".{target.attr} is written only by the ledger"
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _MONEY_SQL.search(node.value):
            yield node.lineno, "SQL that writes wallets or their transactions belongs to the ledger"
    for node, name in _calls(tree):
        if name in ("values", "update") and any(keyword.arg in ("balance", "head_hash") for keyword in node.keywords):
            yield node.lineno, "a balance is written only by the ledger"
        if name in ("Wallet", "WalletTransaction") and any(k.arg in ("family_id", "seq") for k in node.keywords):
            yield node.lineno, f"{name} rows are made only by the ledger"


def _is_own(target: ast.Attribute) -> bool:
    """`self.balance` of a small value class is no wallet."""
    return isinstance(target.value, ast.Name) and target.value.id in ("self", "hit")


def money_is_decimal(path: str, text: str, tree: ast.AST) -> Iterator[Complaint]:
    """No float near money (R1): not in the domain, the money functions, the models or the migrations."""
    places = ("app/domain/ledger", "app/domain/desk", "app/domain/reports", "app/money.py", "migrations")
    if not _inside(path, *places):
        return
    for node, name in _calls(tree):
        if name == "float" or (isinstance(node.func, ast.Attribute) and name in ("Float", "Double", "REAL")):
            yield node.lineno, "money and its figures are Decimal or whole fen, never float"
        if name == "Decimal" and any(isinstance(getattr(arg, "value", None), float) for arg in node.args):
            yield node.lineno, "Decimal(1.1) has a float's error in it: Decimal('1.1')"


_NETWORK = ("requests", "urllib.request", "http.client", "socket", "urllib3", "smtplib", "ftplib")
#: what speaks to the network besides gateways: finding a free port, a host's name for a lease
_MAY_SPEAK = ("app/gateways/", "app/redis.py", "app/cli/jobs.py", "tasks/")


def network_stays_in_gateways(path: str, text: str, tree: ast.AST) -> Iterator[Complaint]:
    """Only gateways, which refuse to run inside a transaction, talk to the outside."""
    if not _inside(path, "app/") or _inside(path, *_MAY_SPEAK):
        return
    for node in ast.walk(tree):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            if name in _NETWORK:
                yield node.lineno, f"{name}: the network belongs to app/gateways"


def no_network_in_a_transaction(path: str, text: str, tree: ast.AST) -> Iterator[Complaint]:
    """Within `with transaction():` and within a @transactional function no gateway is named."""
    if not _inside(path, "app/flows/", "tasks/"):
        return
    gateways = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("app.gateways")
        for alias in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.With):
            opens = any("transaction" in ast.unparse(item.context_expr) for item in node.items)
        else:
            opens = any("transactional" in ast.unparse(d) for d in getattr(node, "decorator_list", ()))
        for inner in (name for part in node.body for name in ast.walk(part)) if opens else ():
            if isinstance(inner, ast.Name) and inner.id in gateways:
                yield inner.lineno, f"{inner.id} inside a transaction: commit first, then talk to the outside"


_DUMPING_GROUNDS = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "managers", "base"}


def files_have_names(path: str, text: str, tree: ast.AST) -> Iterator[Complaint]:
    """No dumping grounds; no file that nobody reads to its end."""
    if Path(path).stem in _DUMPING_GROUNDS:
        yield 1, f"{Path(path).name} says nothing: name the module after what is in it"
    if len(text.splitlines()) > LONG.get(path, MAX_LINES) and not _inside(path, "tests/", "migrations/"):
        yield MAX_LINES, f"longer than {MAX_LINES} lines: a part of it wants a file of its own"


_MARKERS = re.compile("|".join(("TO" + "DO", "FIX" + "ME", "X" * 3, "HA" + "CK")))
_PATHS = re.compile(r"(?<![\w.~-])/(?:work|shared|root|home)/")


def nothing_left_behind(path: str, text: str, tree: ast.AST | None) -> Iterator[Complaint]:
    """No markers of unfinished work, and no path of somebody's machine."""
    for number, line in enumerate(text.splitlines(), start=1):
        if _MARKERS.search(line):
            yield number, "unfinished work has no place here"
        if _PATHS.search(line):
            yield number, "a path of one machine"


PYTHON_RULES: tuple[Callable[[str, str, ast.AST], Iterator[Complaint]], ...] = (
    only_db_commits,
    only_the_ledger_moves_money,
    money_is_decimal,
    network_stays_in_gateways,
    no_network_in_a_transaction,
    files_have_names,
    nothing_left_behind,
)

# ── templates and scripts ───────────────────────────────────────────────────────────────────────────

_TEMPLATE_RULES = (
    (re.compile(r"\|\s*safe\b"), "|safe: text from parents is hostile (S4)"),
    (re.compile(r"\bMarkup\b|\bautoescape\s+false"), "escaping is never turned off"),
    (
        re.compile(r"<script(?![^>]*(\bsrc=|type=.application/json))[^>]*>", re.I),
        "no inline script: the policy of the page forbids it (S3)",
    ),
    (re.compile(r"<style\b|\sstyle\s*=", re.I), "no inline style: the policy of the page forbids it (S3)"),
    (re.compile(r"\son[a-z]+\s*=\s*[\"']", re.I), "no inline event handler (S3)"),
    (re.compile(r"javascript:", re.I), "no javascript: address"),
    (re.compile(r"(src|href)\s*=\s*[\"'](https?:)?//", re.I), "nothing is fetched from another host"),
)
_SCRIPT_RULES = (
    (re.compile(r"\beval\(|new Function\(|innerHTML\s*=|document\.write"), "text never becomes code"),
    (re.compile(r"https?://(?!www\.w3\.org/)"), "nothing is fetched from another host"),
)


def template_rules(path: str, text: str) -> Iterator[Complaint]:
    rules = _SCRIPT_RULES if path.endswith(".js") else _TEMPLATE_RULES
    for number, line in enumerate(text.splitlines(), start=1):
        for pattern, sentence in rules:
            if pattern.search(line):
                yield number, sentence


# ── all of it ───────────────────────────────────────────────────────────────────────────────────────

PYTHON_FOLDERS = ("app", "tasks", "sandbox", "scripts", "bench", "migrations", "tests")


def complaints(root: Path = ROOT) -> Iterator[str]:
    """Every complaint about the project as `path:line: sentence`."""
    for file in sorted(file for folder in PYTHON_FOLDERS for file in (root / folder).rglob("*.py")):
        path, text = file.relative_to(root).as_posix(), file.read_text()
        for line, sentence in python_complaints(path, text):
            yield f"{path}:{line}: {sentence}"
    pages = [
        *(root / "templates").rglob("*.html"),
        *(root / "sandbox").rglob("*.html"),
        *(root / "static").glob("*.js"),
    ]
    for file in sorted(pages):
        path = file.relative_to(root).as_posix()
        for line, sentence in template_rules(path, file.read_text()):
            yield f"{path}:{line}: {sentence}"


def python_complaints(path: str, text: str) -> Iterator[Complaint]:
    tree = ast.parse(text)
    for rule in PYTHON_RULES:
        yield from rule(path, text, tree)


def main() -> None:
    found = list(complaints())
    for line in found:
        print(line)
    if found:
        sys.exit(f"{len(found)} against the project's own rules")


if __name__ == "__main__":
    main()
