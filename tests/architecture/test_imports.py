"""Who may import whom (docs/architecture.md). Each rule is shown to find what it forbids."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.architecture.source import ROOT, imports, module_name, python_files

#: line of each part of the domain; a part imports only from its own line and those above it (smaller numbers).
#: The longest prefix counts. A module that stands elsewhere than its package says so in its docstring.
LINES = {
    "app.domain.audit": 1,
    "app.domain.outbox": 1,
    "app.domain.policy": 1,
    "app.domain.longjobs": 1,
    "app.domain.people.roles": 1,  # a pure table over the actor
    "app.domain.people": 2,
    "app.domain.search": 2,
    "app.domain.policy.changes": 3,
    "app.domain.cases": 3,
    "app.domain.exporting": 3,
    "app.domain.catalog": 3,
    "app.domain.ledger": 3,
    "app.domain.seats.models": 3,  # a table, which readers of sessions look at
    "app.domain.credits": 3,
    "app.domain.people.registration": 4,
    "app.domain.people.import_plan": 4,
    "app.domain.people.family_import": 4,
    "app.domain.orders.models": 4,  # tables, which the holds' audit rows name
    "app.domain.seats": 4,
    "app.domain.seats.holds": 5,  # a hold that ends frees a seat for those who wait
    "app.domain.catalog.catalog_import": 5,  # so does a capacity that a file raises
    "app.domain.waitlist.models": 3,  # tables, which readers of sessions look at
    "app.domain.waitlist": 5,
    "app.domain.bookings": 6,
    "app.domain.desk": 7,
    "app.domain.withdrawals": 7,
    "app.domain.makeups": 7,
    "app.domain.orders": 7,
    "app.domain.questions": 7,
    "app.domain.changes": 8,
    "app.domain.chosen": 8,
    "app.domain.offers": 8,
    "app.domain.search.queries": 9,
    "app.domain.policy.queries": 9,
    "app.domain.reconcile": 9,
    "app.domain.reports": 9,
    "app.domain.books": 9,
    "app.domain.watch": 9,
    "app.domain.retention": 9,  # knows every table, to forget what is in it
}
#: models map tables and nothing else: naming a table is not depending on its part
_NEVER_IN_DOMAIN = ("flask", "flask_login", "flask_wtf", "requests", "rq", "redis", "wechatpy", "jinja2", "werkzeug")
EDGES = ("app.web", "app.api", "app.cli", "tasks")


def line_of(module: str) -> int | None:
    best = max((p for p in LINES if module == p or module.startswith(p + ".")), key=len, default=None)
    return LINES[best] if best else None


def inside(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)


def complaint(module: str, imported: str) -> str | None:
    """Why `module` may not import `imported`, or None."""
    if inside(module, "app") and inside(imported, "tasks"):
        return "app never imports tasks: jobs are named by string"
    if inside(imported, "tests", "bench", "sandbox", "scripts") and inside(module, "app", "tasks"):
        return "the product does not need what tests and tools need"
    if inside(module, "app.domain"):
        return _in_domain(module, imported)
    if inside(module, "app.gateways"):
        if inside(imported, "app.domain", "app.db", "app.flows", "app.web", "app.api", "app.cli", "sqlalchemy"):
            return "a gateway knows neither database nor domain"
    elif inside(module, "app.flows"):
        if inside(imported, "app.web", "app.api", "app.cli"):
            return "a flow does not know the edges"
    elif inside(module, *EDGES):
        if inside(imported, "app.gateways"):
            return "edges reach the outside only through flows"
        if (inside(module, "app.web") and inside(imported, "app.api")) or (
            inside(module, "app.api") and inside(imported, "app.web")
        ):
            return "web and api do not import each other"
    elif module.count(".") == 1 and inside(module, "app") and inside(imported, "app.flows", "app.gateways"):
        return "the foundation knows neither flows nor gateways"
    return None


def _in_domain(module: str, imported: str) -> str | None:
    if inside(imported, "app.web", "app.api", "app.cli", "app.flows", "app.gateways"):
        return "the domain knows no edge, no flow and no gateway"
    if inside(imported, *_NEVER_IN_DOMAIN):
        return "the domain knows no request, no network and no templates"
    mine, theirs = line_of(module), line_of(imported)
    if mine is not None and theirs is not None and theirs > mine:
        return f"line {mine} imports from line {theirs}, below it"
    return None


@pytest.mark.parametrize("path", list(python_files("app", "tasks")), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_one_way(path: Path):
    module = module_name(path)
    wrong = [f"{path.name}:{line}: {name}: {why}" for line, name in imports(path) if (why := complaint(module, name))]
    assert wrong == []


def test_every_part_of_the_domain_has_its_line():
    parts = {module_name(path) for path in (ROOT / "app" / "domain").glob("*/__init__.py")}
    assert {part for part in parts if line_of(part) is None} == set()


def test_the_lines_name_modules_that_exist():
    known = {module_name(path) for path in python_files("app/domain")}
    assert set(LINES) - known == set()


@pytest.mark.parametrize(
    ("module", "imported"),
    [
        ("app.domain.ledger.service", "app.domain.desk.rules"),
        ("app.domain.people.profiles", "app.domain.ledger.service"),
        ("app.domain.audit.service", "app.domain.people.models"),
        ("app.domain.ledger.service", "flask"),
        ("app.domain.ledger.service", "app.gateways.feishu"),
        ("app.gateways.feishu", "app.db"),
        ("app.web.desk", "app.gateways.feishu"),
        ("app.web.desk", "app.api.v1"),
        ("app.api.v1.auth", "app.web.permissions"),
        ("app.flows.delivery", "app.web"),
        ("app.doorbell", "tasks.notifications"),
        ("app.db", "app.flows"),
        ("tasks.periodic", "app.gateways.feishu"),
        ("app.cli.demo", "tests.factories"),
    ],
)
def test_the_rules_find_what_they_forbid(module: str, imported: str):
    assert complaint(module, imported) is not None
