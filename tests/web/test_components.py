"""Every macro renders, hostile text stays text, and answers take the right form for htmx and for plain browsers."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest
from flask import Flask, make_response, render_template_string
from wtforms import BooleanField, Form, RadioField, SelectField, StringField, TextAreaField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import DataRequired

from app.web import filters, navigation, rendering

ROOT = Path(__file__).resolve().parents[2]
EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
NOW = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)


class Everything(Form):
    name = StringField("姓名", description="家长的称呼", validators=[DataRequired(EVIL)])
    amount = StringField("金额")
    kind = SelectField("类型", choices=[SelectChoice(value="a", label=EVIL)])
    side = RadioField("方向", choices=[SelectChoice(value="up", label="增加"), SelectChoice(value="down", label=EVIL)])
    note = TextAreaField("说明")
    tell = BooleanField("通知家长")


@pytest.fixture
def app():
    app = Flask("desk", template_folder=str(ROOT / "templates"), static_folder=str(ROOT / "static"))
    app.secret_key = "test"
    rendering.register(app)
    filters.register(app)
    app.add_url_rule("/", "home.today", lambda: "")
    app.add_url_rule("/search", "search.index", lambda: "")
    app.add_url_rule("/approvals", "desk.approvals", lambda: "")

    @app.context_processor
    def frame():
        return {
            "current_staff": SimpleNamespace(display_name=EVIL, role="manager", role_text="店长"),
            "can": lambda permission: True,
            "csrf_token": lambda: "tok'\"<en",
            "request_id": "req-1",
            "now": NOW,
            "theme": "light",
            "nav_groups": navigation.visible_groups(lambda p: True, app.view_functions, {"approvals": 120}),
        }

    return app


@pytest.fixture
def draw(app):
    def render(source, **context):
        with app.test_request_context("/"):
            return render_template_string(source, **context)

    return render


class Seen(HTMLParser):
    """Reads the markup as a browser does and notes what could run or restyle the page."""

    def __init__(self, html):
        super().__init__()
        self.bad = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag == "script" and given.get("type") != "application/json" and not given.get("src", "").startswith("/"):
            self.bad.append((tag, attrs))
        if given.get("src") == "x" or "style" in given or any(name.startswith("on") for name in given):
            self.bad.append((tag, attrs))


def assert_harmless(html):
    assert Seen(html).bad == []


V = (
    '{% from "components/values.html" import money, money_change, state, flag, time, day, ago, countdown, copyable,'
    " masked %}"
)
T = (
    '{% from "components/tables.html" import table, row_link, filter_row, filter_select, filter_search, filter_date,'
    " filter_clear, pager, empty, search_results %}"
)
F = (
    '{% from "components/forms.html" import csrf, form_error, field, choice, money_field, consequence, actions,'
    " post_button, dropzone %}"
)
S = (
    '{% from "components/surfaces.html" import card, tabs, stat, stats, facts, panel, confirm, diff, live, banner,'
    " progress, chart, toast, crumbs, timeline %}"
)

MACROS = [
    V + "{{ money(amount, signed=true, strong=true) }}{{ money(none) }}{{ money_change(amount, amount) }}",
    V + '{{ state("wallet_status", evil) }}{{ flag(evil) }}',
    V + "{{ time(now) }}{{ time(none) }}{{ day(now) }}{{ day(none) }}{{ ago(now) }}{{ ago(none) }}"
    "{{ countdown(now, evil) }}",
    V + "{{ copyable(evil, evil) }}{{ masked(evil, evil, evil, evil) }}{{ masked(none) }}",
    T + '{% call table([evil, (evil, "num")], evil) %}<tr><td>{{ row_link(evil, evil) }}</td></tr>{% endcall %}',
    T + "{% call filter_row(evil, evil) %}{{ filter_search(evil, evil, evil) }}{{ filter_date(evil, evil, evil) }}"
    "{{ filter_select(evil, evil, [(evil, evil)], evil) }}{{ filter_clear(evil) }}{% endcall %}",
    T + "{{ pager(evil, none, 10000, evil) }}{{ pager(none, evil) }}{{ empty(evil, evil, evil, evil) }}",
    T + "{{ search_results([hit], evil, evil) }}{{ search_results([], evil) }}",
    F + "{{ csrf(evil) }}{{ form_error(evil, form) }}{{ field(form.name, placeholder=evil) }}{{ field(form.kind) }}",
    F + "{{ field(form.side) }}{{ field(form.note, help=evil, rows=2) }}{{ field(form.tell) }}{{ choice(form.side) }}",
    F + "{{ money_field(form.amount, hx_get=evil) }}{{ consequence(evil, evil) }}"
    "{% call consequence('c') %}{{ evil }}{% endcall %}{{ dropzone(errors=[evil]) }}",
    F + "{{ actions(evil, cancel=evil, confirm=evil, note=evil) }}{{ actions(evil, cancel='panel') }}"
    "{{ post_button(evil, evil, evil, target=evil, ask=evil, act=evil, values={evil: evil}) }}",
    S + "{% call card(evil, evil, evil, evil, id=evil) %}{{ evil }}{% endcall %}"
    "{{ crumbs([(evil, evil), (evil, none)]) }}",
    S + '{{ tabs([{"key": "a", "label": evil, "url": evil, "count": 3}], "a", evil) }}'
    "{% call stats() %}{{ stat(evil, evil, evil, evil) }}{{ stat(evil, evil) }}{% endcall %}",
    S + "{{ facts([(evil, evil), (evil, none)]) }}{% call panel(evil, evil, evil, evil) %}{{ evil }}{% endcall %}",
    S + "{% call confirm('x', evil, evil, typed=evil, error=evil, open=true) %}{{ evil }}{% endcall %}",
    S + "{{ diff({evil: evil}, {evil: 1}, {evil: evil}) }}{{ diff({}, {}) }}{{ banner(evil, evil, 'danger') }}",
    S + "{% call live('x', evil) %}{{ evil }}{% endcall %}{{ progress(1, 0, evil) }}"
    "{{ chart('c', evil, {'labels': [evil]}) }}",
    S + "{{ timeline([{'at': now, 'text': evil, 'who': evil, 'note': evil}]) }}"
    "{{ toast({'text': evil, 'kind': 'good', 'link': {'href': evil, 'text': evil},"
    " 'undo': {'href': evil, 'text': evil}}) }}",
]


@pytest.mark.parametrize("source", MACROS)
def test_macros_render_and_hostile_text_stays_text(draw, source):
    form = Everything(data={"name": EVIL, "note": EVIL})
    form.name.errors = [EVIL]
    hit = {"href": EVIL, "title": EVIL, "sub": EVIL, "extra": EVIL}
    html = draw(source, evil=EVIL, amount=Decimal("-200"), now=NOW, form=form, hit=hit)
    assert html.strip()
    assert_harmless(html)


def test_money_is_red_below_zero(draw):
    html = draw(V + "{{ money(a) }}", a=Decimal("-200"))
    assert "is-negative" in html
    assert "-¥200.00" in html


def test_a_field_ties_help_and_error_to_the_input(draw):
    form = Everything()
    form.name.errors = ["请填写姓名"]
    html = draw(F + "{{ field(form.name) }}", form=form)
    assert 'aria-describedby="name-help name-error"' in html
    assert 'aria-invalid="true"' in html
    assert html.index("<label") < html.index("<input") < html.index("name-help", html.index("<input") + 90)


def test_a_field_without_notes_has_no_empty_attributes(draw):
    html = draw(F + "{{ field(form.amount, hx_get='/x') }}", form=Everything())
    assert "aria-describedby" not in html
    assert 'hx-get="/x"' in html


PAGE = '{% extends "layouts/app.html" %}{% block title %}标题{% endblock %}{% block content %}正文{% endblock %}'


def test_the_frame_shows_navigation_counts_and_no_inline_code(draw):
    html = draw(PAGE)
    assert "99+" in html
    assert 'lang="zh-CN"' in html
    assert_harmless(html)
    for script in re.findall(r"<script\b[^>]*>", html):
        assert "src=" in script or 'type="application/json"' in script
    assert json.loads(re.search(r"hx-headers='([^']*)'", html).group(1)) == {"X-CSRFToken": "tok'\"<en"}
    config = json.loads(re.search(r'name="htmx-config" content=\'([^\']*)\'', html).group(1))
    assert config["allowEval"] is False
    assert config["includeIndicatorStyles"] is False
    assert config["selfRequestsOnly"] is True
    assert config["historyCacheSize"] == 0


def test_the_frame_works_plainly_without_built_assets(app, tmp_path):
    app.static_folder = str(tmp_path)
    with app.test_request_context("/"):
        html = render_template_string(PAGE)
    assert "node scripts/build_assets.mjs" in html
    assert "正文" in html
    assert "<script" not in html


@pytest.mark.parametrize("status", sorted(rendering.ERROR_WORDS))
def test_errors_as_page_and_as_banner(app, status):
    with app.test_request_context("/x"):
        page = rendering.render_error(status)
    assert page.status_code == status
    assert "<!doctype html>" in page.get_data(as_text=True).lower()
    assert "req-1" in page.get_data(as_text=True)
    with app.test_request_context("/x", headers={"HX-Request": "true"}):
        banner = rendering.render_error(status, EVIL, retry_after=7)
    assert banner.status_code == status
    assert banner.headers["HX-Retarget"] == "#errors"
    assert banner.headers["Retry-After"] == "7"
    assert "<!doctype" not in banner.get_data(as_text=True).lower()
    assert 'data-copy="req-1"' in banner.get_data(as_text=True)
    assert_harmless(banner.get_data(as_text=True))


@pytest.mark.parametrize(
    ("headers", "fragment"),
    [
        ({}, False),
        ({"HX-Request": "true"}, True),
        ({"HX-Request": "true", "HX-Boosted": "true"}, False),
        ({"HX-Request": "true", "HX-History-Restore-Request": "true"}, False),
    ],
)
def test_page_or_fragment(app, headers, fragment):
    with app.test_request_context("/", headers=headers):
        response = rendering.render(
            "errors/error.html", "errors/_error.html", error_status=404, title="a", why="b", advice="c"
        )
    assert ("<html" not in response.get_data(as_text=True)) is fragment
    assert "HX-Request" in response.headers["Vary"]


def test_a_toast_rides_as_event_for_htmx_and_as_flash_otherwise(app):
    with app.test_request_context("/", headers={"HX-Request": "true"}):
        response = rendering.close_panel(rendering.toast(make_response(""), "已增加", link="/f", undo="/u"))
    events = json.loads(response.headers["HX-Trigger"])
    assert response.headers["HX-Trigger"].isascii()
    assert events["desk:toast"]["undo"] == {"href": "/u", "text": "撤销"}
    assert response.headers["HX-Trigger-After-Swap"] == "desk:panel-close"

    with app.test_request_context("/"):
        response = rendering.toast(rendering.redirect_or_fragment("/list", "x"), "已增加", undo="/u")
        assert response.status_code == 303
        html = render_template_string(PAGE)
    assert "已增加" in html
    assert 'action="/u"' in html


def test_a_lost_session_answers_401_with_the_way_to_sign_in(app):
    with app.test_request_context("/", headers={"HX-Request": "true"}):
        response = rendering.hx_redirect("/sign-in", status=401)
    assert response.status_code == 401
    assert response.headers["HX-Redirect"] == "/sign-in"
    with app.test_request_context("/"):
        assert rendering.hx_redirect("/sign-in", status=401).status_code == 303


def test_assets_carry_their_hash(app, tmp_path):
    (tmp_path / "vendor").mkdir()
    (tmp_path / "vendor" / "manifest.json").write_text(json.dumps({"htmx.min.js": {"sha256": "ab" * 32}}))
    (tmp_path / "desk.css").write_text("a{}")
    app.static_folder = str(tmp_path)
    with app.test_request_context("/"):
        assert rendering.asset("htmx.min.js").endswith("/vendor/htmx.min.js?v=abababababab")
        assert re.search(r"/desk\.css\?v=[0-9a-f]{12}$", rendering.asset("desk.css"))
        assert rendering.asset("missing.js").endswith("/missing.js")


def test_templates_draw_only_listed_icons():
    listed = {line.split("#")[0].strip() for line in (ROOT / "static" / "icons.txt").read_text().splitlines()}
    used = set()
    for path in (ROOT / "templates").rglob("*.html"):
        used |= set(re.findall(r"icon\('([a-z0-9-]+)'", path.read_text(encoding="utf-8")))
        used |= set(re.findall(r"mark=[\"']([a-z0-9-]+)[\"']", path.read_text(encoding="utf-8")))
    used |= {item.icon for group in navigation.GROUPS for item in group.items}
    used |= {group.icon for group in navigation.GROUPS}
    assert used <= listed


def test_no_template_switches_escaping_off_or_carries_inline_code():
    for path in (ROOT / "templates").rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\|\s*safe\b|autoescape\s+false", text), path
        assert not re.search(r"<[^>]*\s(style|on[a-z]+)=", text), path
