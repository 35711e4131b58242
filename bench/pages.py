"""A page of the portal with 50 rows against rendering its table alone; the mini program's transactions over HTTP at
the first page and ten thousand pages down."""

from __future__ import annotations

import itertools
import statistics
import time

import flask

from app import clock
from app.api.v1 import cursors
from app.db import db, transaction
from app.domain.ledger import queries
from app.domain.people.models import User
from bench.context import Context, Row
from bench.http import _environ, _gunicorn, _load, _sign_in
from bench.ledger import DEPTH, PAGE, deep_wallet
from tests.portal import Browser

TITLE = "Pages"
#: requests of each kind in a round
TURNS = 60


def run(context: Context) -> list[Row]:
    with context.app.app_context():
        wallet_id = deep_wallet(context, max(PAGE * DEPTH + PAGE, context.rows))
        wallet = queries.wallet(wallet_id=wallet_id)
        family_id, version = wallet.family_id, wallet.version
        with transaction():
            db.session.add(User(family_id=family_id, openid="bench-pages", registered_at=clock.now()))
        *_, token = _sign_in(wallet_id)
        db.session.remove()
    return [_portal(context, family_id), _history(context, token, version)]


def _portal(context: Context, family_id: int) -> Row:
    """The family's page, in process: what a request costs beyond its 50 rows of HTML."""
    with context.app.app_context():
        browser = Browser(context.app).sign_in("finance")
        address, seen = f"/families/{family_id}", []
        flask.template_rendered.connect(note := lambda _app, template, context, **_: seen.append(context))
        assert browser.get(address).status_code == 200
        flask.template_rendered.disconnect(note)
        with context.app.test_request_context(address):
            fragment = context.app.jinja_env.get_template("families/_transactions.html")
            names = seen[0]
            if len(names["page"].items) != 50:
                raise SystemExit("the page does not hold 50 rows")
            alone, whole = [], []
            for _ in range(TURNS * context.rounds):
                alone.append(_timed(lambda: fragment.render(names)))
        for _ in range(TURNS * context.rounds):
            whole.append(_timed(lambda: browser.get(address)))
        db.session.remove()
    floor, ours = statistics.median(alone), statistics.median(whole)
    return Row("family page with 50 transactions", f"Jinja, the table alone: {floor * 1000:.1f} ms",
               f"{ours * 1000:.1f} ms", ours / floor, "≤ 2.50", ours / floor <= 2.5)  # fmt: skip


def _timed(call) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _history(context: Context, token: str, version: int) -> Row:
    deep = cursors.encode("t", version - PAGE * (DEPTH - 1) + 1)
    with _gunicorn("wsgi:app", _environ(context) | {"DESK_RATE_LIMITS": "off"}) as url:
        first = f"{url}/api/v1/wallet/transactions?limit={PAGE}"
        rates: dict[str, list[float]] = {first: [], f"{first}&cursor={deep}": []}
        for _, address in itertools.product(range(context.rounds + 1), rates):
            rates[address].append(_load(address, token, context.seconds))
    one, many = (statistics.median(found[1:]) for found in rates.values())
    what = f"transactions over HTTP, page {DEPTH:,} of {version:,} rows"
    return Row(what, f"page 1: {one:,.0f}/s", f"{many:,.0f}/s", one / many, "≤ 1.20 × the time", one / many <= 1.2)
