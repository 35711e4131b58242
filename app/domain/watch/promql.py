"""The alerts in Prometheus' own words: deploy/alerts/desk.rules.yml and its samples (Z11).

A JSON text is a YAML scalar, so that nothing needs to be escaped by rules of our own. Prometheus cannot read the
policies: `flask alerts write` writes the thresholds in force, the files of the project have the usual ones.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import timedelta

from app.domain.watch.catalogue import RULES
from app.domain.watch.rules import Form, Rule

MANUAL = "docs/operations/alerts.md"
#: how far after its time a sample is looked at
_SLACK = timedelta(minutes=2)
_SAMPLE = re.compile(r"(\w+(?:\{[^}]*\})?) (\S+)")


def expression(rule: Rule, threshold: float) -> str:
    """The rule as PromQL."""
    sign, figure = "<" if rule.below else ">", f"{threshold:g}"
    if rule.form == Form.SHARE:
        return f"sum({rule.pick}) / sum({rule.beside}) {sign} {figure} and sum({rule.beside}) >= {rule.least:g}"
    if rule.form == Form.PERIODS:
        return f"(time() - {rule.pick}) / {rule.beside} {sign} {figure}"
    left = {Form.VALUE: f"{rule.pick}", Form.AWAY: f"abs({rule.pick})", Form.AGE: f"time() - {rule.pick}"}[rule.form]
    return f"{left} {sign} {figure}"


def rules_file(thresholds: Mapping[str, float]) -> str:
    """The file of the rules; `thresholds` by the rule's name."""
    lines = ["# Written by `flask alerts write` from app/domain/watch/catalogue.py.", "groups:", "  - name: desk",
             "    interval: 30s", "    rules:"]  # fmt: skip
    for rule in RULES:
        lines += [f"      - alert: {rule.name}", f"        expr: {_text(expression(rule, thresholds[rule.name]))}"]
        if rule.lasts:
            lines.append(f"        for: {_span(rule.lasts)}")
        lines += [
            f"        keep_firing_for: {_span(rule.calm)}", f"        labels: {{severity: {rule.severity}}}",
            "        annotations:", f"          summary: {_text(rule.title)}",
            f"          description: {_text(rule.remedy)}",
            f"          runbook: {_text(f'{MANUAL}#{rule.name.lower()}')}",
        ]  # fmt: skip
    return "\n".join(lines) + "\n"


def test_file() -> str:
    """What `promtool test rules` checks: each rule's two samples."""
    lines = ["# Written by `flask alerts write`; `promtool test rules deploy/alerts/desk.test.yml` checks it.",
             "rule_files: [desk.rules.yml]", "evaluation_interval: 1m", "tests:"]  # fmt: skip
    for rule in RULES:
        for name, samples in (("fires", rule.fires), ("quiet", rule.quiet)):
            lines += _case(rule, name, samples)
    return "\n".join(lines) + "\n"


def _case(rule: Rule, name: str, samples: str) -> list[str]:
    at = rule.lasts + _SLACK
    count = int(at.total_seconds() // 60) + 1
    lines = [f"  - name: {rule.name} {name}", "    interval: 1m", "    input_series:"]
    for line in samples.splitlines():
        series, value = _SAMPLE.fullmatch(line).groups()
        lines += [f"      - series: {_text(series)}", f"        values: {_text(f'{value}x{count}')}"]
    # The label is told by promtool itself, so only which alerts fire is compared.
    count_firing = f'count(ALERTS{{alertname="{rule.name}", alertstate="firing"}}) or vector(0)'
    lines += [
        "    promql_expr_test:", f"      - expr: {_text(count_firing)}", f"        eval_time: {_span(at)}",
        f"        exp_samples: [{{value: {1 if name == 'fires' else 0}}}]",
    ]  # fmt: skip
    return lines


def _text(words: str) -> str:
    return json.dumps(words, ensure_ascii=False)


def _span(time: timedelta) -> str:
    seconds = int(time.total_seconds())
    return f"{seconds // 60}m" if seconds % 60 == 0 else f"{seconds}s"
