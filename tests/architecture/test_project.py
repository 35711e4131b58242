"""Names that are only strings lead somewhere: jobs, queues, settings, templates, migrations, commands."""

from __future__ import annotations

import re
from importlib import import_module
from inspect import signature

import pytest
from alembic.script import ScriptDirectory

from app import cli, doorbell
from app.cli.doctor import known_settings
from app.domain.audit import actions
from app.domain.outbox.schedule import JOBS
from app.domain.policy.registry import POLICIES
from tests.architecture.source import ROOT, python_files

COMMANDS = "audit data db demo doctor families jobs ledger openapi policy staff worker scheduler"
NAMED_POLICIES = """access_token_ttl refresh_token_ttl order_ttl hold_ttl callback_max_age overdraft_limit
    low_balance_threshold arrears_block_threshold booking_cancel_cutoff makeup_cancel_cutoff waitlist_window
    waitlist_begin_grace waitlist_cutoff waitlist_quiet_hours quiet_hours balance_message_cooldown
    notification_max_attempts makeup_credit_ttl compensation_unit compensation_ttl compensation_return_min
    adjustment_direct_limit adjustment_daily_limit adjustment_type_amount_from step_up_ttl receipt_max_bytes
    shipping_info prepayment_guard adjustment_family_daily_limit front_desk_ask_limit"""


def test_one_migration_head():
    scripts = ScriptDirectory(str(ROOT / "migrations"))
    assert len(scripts.get_heads()) == 1
    assert len(scripts.get_bases()) == 1


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_every_periodic_job_leads_to_a_function(job):
    module, _, name = job.entry.rpartition(".")
    function = getattr(import_module(module), name)
    assert not signature(function).parameters
    assert function.__doc__


def test_every_function_named_for_a_queue_exists():
    named = {
        match for path in python_files("app") for match in re.findall(r"[\"'](tasks\.[a-z_.]+)[\"']", path.read_text())
    }
    assert doorbell.DELIVER in named
    for name in named:
        module, _, attribute = name.rpartition(".")
        assert import_module(name) if module == "tasks" else getattr(import_module(module), attribute)


def test_every_queue_has_a_worker():
    queues = import_module("tasks.queues")
    served = {name for value in vars(queues).values() if isinstance(value, list | tuple) for name in value}
    assert set(doorbell.QUEUES) <= served


def test_every_template_parses(app):
    names = app.jinja_env.list_templates(extensions=["html"])
    assert names
    for name in names:
        app.jinja_env.get_template(name)


def test_every_template_that_a_view_names_exists(app):
    named = {
        name
        for path in python_files("app/web")
        for name in re.findall(r"[\"']([a-z_]+/[a-z_]+\.html)[\"']", path.read_text())
    }
    missing = named - set(app.jinja_env.list_templates(extensions=["html"]))
    assert named
    assert missing == set()


def test_every_setting_is_in_the_example():
    """What the configuration reads, and no more, so that `flask doctor` can tell a misspelt name."""
    read = {
        name
        for path in ("app/config.py", "gunicorn.conf.py")
        for name in re.findall(r"DESK_[A-Z0-9_]+[A-Z]", (ROOT / path).read_text())
    }
    feishu = {f"DESK_FEISHU_{group}_{part}" for group in ("MONEY", "WAITLIST", "SYSTEM") for part in ("URL", "SECRET")}
    listed = set(known_settings())
    assert feishu <= listed
    assert read - listed - {"DESK_FEISHU", "DESK_TEMPLATE"} == set()
    assert {name for name in listed - read - feishu if not name.startswith("DESK_TEMPLATE_")} == set()


def test_every_command_module_is_there(app):
    for name in cli.MODULES:
        assert import_module(f"app.cli.{name}").register
    assert set(COMMANDS.split()) <= set(app.cli.commands)


def test_policies_of_the_fine_print_exist():
    """96.1 names them, so that scripts may rely on them."""
    assert set(NAMED_POLICIES.split()) - set(POLICIES) == set()
    for policy in POLICIES.values():
        assert policy.parse(policy.default) is not NotImplemented
        assert policy.unit
        assert policy.description


def test_every_recorded_action_has_its_word():
    recorded = {
        match
        for path in python_files("app")
        for match in re.findall(r"audit\.record\(\s*[\w.()]+,\s*\"([a-z_.]+)\"", path.read_text())
    }
    assert "wallet.posted" in recorded
    assert {name for name in recorded if name not in actions.ACTIONS} == set()


def test_every_audited_thing_has_its_word():
    named = {
        match for path in python_files("app") for match in re.findall(r"target_type=\"([a-z_]+)\"", path.read_text())
    }
    assert "wallet" in named
    assert {name for name in named if name not in actions.TARGETS} == set()


def test_python_of_today_and_of_the_oldest_supported():
    text = (ROOT / "pyproject.toml").read_text()
    assert 'requires-python = ">=3.11"' in text


def test_no_lock_file_names_a_registry():
    assert "resolved" not in (ROOT / "package-lock.json").read_text()
