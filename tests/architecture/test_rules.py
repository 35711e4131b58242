"""The project's own rules hold, and each finds what it is there to find."""

from __future__ import annotations

import pytest

from scripts import rules


def test_the_project_keeps_its_rules():
    assert list(rules.complaints()) == []


BAD_PYTHON = [
    ("app/domain/desk/x.py", "db.session.commit()", "commit"),
    ("app/flows/x.py", "with db.session.begin_nested(): pass", "begin_nested"),
    ("app/web/x.py", "wallet.balance = amount", "balance"),
    ("app/web/x.py", "wallet.balance += amount", "balance"),
    ("app/domain/desk/x.py", "table.update().values(balance=1)", "balance"),
    ("app/domain/desk/x.py", "execute('UPDATE wallets SET balance = 1')", "SQL"),
    ("app/domain/desk/x.py", "WalletTransaction(wallet_id=1, seq=2)", "ledger"),
    ("app/domain/ledger/x.py", "float(amount)", "float"),
    ("app/domain/desk/models.py", "sa.Float()", "float"),
    ("app/domain/ledger/x.py", "Decimal(1.1)", "Decimal"),
    ("app/domain/people/x.py", "import requests", "network"),
    ("app/web/x.py", "from urllib.request import urlopen", "network"),
    (
        "app/flows/x.py",
        "from app.gateways import feishu\ndef f():\n    with transaction():\n        feishu.send()\n",
        "transaction",
    ),
    ("app/flows/x.py", "from app.gateways import feishu\n@transactional\ndef f():\n    feishu.send()\n", "transaction"),
    ("app/domain/utils.py", "", "name the module"),
    ("app/domain/long.py", "x = 1\n" * 501, "longer"),
    ("app/domain/x.py", "# TO" + "DO: later", "unfinished"),
    ("app/domain/x.py", "path = '/ho" + "me/somebody/x'", "machine"),
]


@pytest.mark.parametrize(("path", "text", "word"), BAD_PYTHON)
def test_rules_for_python_bite(path, text, word):
    assert any(word in sentence for _, sentence in rules.python_complaints(path, text))


GOOD_PYTHON = [
    ("app/db.py", "session.commit()"),
    ("app/domain/ledger/service.py", "wallet.balance = amount"),
    ("app/domain/people/x.py", "self.balance = amount"),
    (
        "app/flows/x.py",
        "from app.gateways import feishu\ndef f():\n    with transaction():\n        x()\n    feishu.send()\n",
    ),
    ("app/gateways/x.py", "import requests"),
    ("tests/x.py", "db.session.commit()"),
]


@pytest.mark.parametrize(("path", "text"), GOOD_PYTHON)
def test_rules_for_python_let_be_what_is_right(path, text):
    assert list(rules.python_complaints(path, text)) == []


BAD_PAGES = [
    ("a.html", "{{ name|safe }}"),
    ("a.html", "{{ name | safe }}"),
    ("a.html", "{{ Markup(name) }}"),
    ("a.html", "{% autoescape false %}"),
    ("a.html", "<script>alert(1)</script>"),
    ("a.html", "<script type='module'>x</script>"),
    ("a.html", "<p style='color: red'>"),
    ("a.html", "<style>p {}</style>"),
    ("a.html", "<a onclick='x()'>"),
    ("a.html", "<a href='javascript:x()'>"),
    ("a.html", "<script src='https://cdn.example/x.js'></script>"),
    ("a.html", "<link href='//cdn.example/x.css'>"),
    ("a.js", "node.innerHTML = text"),
    ("a.js", "eval(text)"),
    ("a.js", "fetch('https://example.com/')"),
]


@pytest.mark.parametrize(("path", "text"), BAD_PAGES)
def test_rules_for_pages_bite(path, text):
    assert list(rules.template_rules(path, text))


def test_rules_for_pages_let_be_what_is_right():
    page = '<script src="{{ asset(\'x.js\') }}"></script><script type="application/json">{{ x|tojson }}</script>'
    assert list(rules.template_rules("a.html", page)) == []
