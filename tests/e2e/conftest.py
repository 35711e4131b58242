"""A browser and the running product for journeys through real pages."""

from __future__ import annotations

import os

import pytest

from tests import databases
from tests.e2e.product import running_product

#: what is played on each database, on the second among the slow proofs; pages and phones of the other journeys are the
#: same on either
ON_EACH_DATABASE = {"test_payments"}


def pytest_generate_tests(metafunc):
    if "product" in metafunc.fixturenames:
        both = metafunc.module.__name__.rpartition(".")[2] in ON_EACH_DATABASE
        first, *others = databases.engines()
        slow = [pytest.param(engine, marks=pytest.mark.faults) for engine in others if both]
        metafunc.parametrize("product", [first, *slow], indirect=True, scope="package")


@pytest.fixture(scope="package")
def product(request, tmp_path_factory):
    """Web, worker, scheduler and sandbox; embedded Redis beside SQLite. One for all journeys: each has families and
    classes of its own, and puts back what it sets."""
    redis_url = "embedded" if request.param == "sqlite" else None
    with running_product(request.param, tmp_path_factory.mktemp("product"), redis_url=redis_url) as running:
        yield running


def expected(complaint: str) -> bool:
    """What was refused (409, 422), a request that a newer one replaced, and what taking a picture adds to a page."""
    taking = os.environ.get("DESK_TAKE_PICTURES") == "1" and "inline style" in complaint
    refused = "422" in complaint or "409 (CONFLICT)" in complaint
    return taking or refused or complaint.startswith(("htmx:sendAbort", "htmx:afterRequest"))


@pytest.fixture
def new_page(chromium):
    """Make pages that may only talk to this machine, and that must not complain."""
    contexts, complaints = [], []

    def make(width: int = 1280, height: int = 860):
        context = chromium.new_context(
            locale="zh-CN", timezone_id="Asia/Shanghai", viewport={"width": width, "height": height}
        )
        context.route(lambda url: not url.startswith("http://127.0.0.1"), lambda route: route.abort())
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda m: complaints.append(m.text) if m.type == "error" and not expected(m.text) else None)
        return page

    yield make
    for context in contexts:
        context.close()
    assert complaints == []
