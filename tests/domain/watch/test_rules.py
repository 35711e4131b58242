"""Each alert: its two samples, its file for Prometheus, its words, and the metrics that it names (Z11)."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest

from app.config import ROOT
from app.domain.policy.registry import POLICIES
from app.domain.watch import alerts, promql
from app.domain.watch.catalogue import RULES
from app.domain.watch.rules import Form, Pick, Rule, Samples, Severity

FOLDER = ROOT / "deploy" / "alerts"
USUAL = {name: POLICIES[name].parse(POLICIES[name].default) for name in alerts.policies()}
LINE = re.compile(r"(\w+)(?:\{([^}]*)\})? (\S+)")


def read(text: str) -> Samples:
    found: Samples = {}
    for line in text.splitlines():
        name, labels, value = LINE.fullmatch(line).groups()
        found.setdefault(name, []).append((dict(re.findall(r'(\w+)="([^"]*)"', labels or "")), float(value)))
    return found


def explained() -> set[str]:
    return set(re.findall(r"`(desk_\w+)`", (ROOT / "docs" / "operations" / "metrics.md").read_text()))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_one_sample_fires_and_one_does_not(rule):
    figure = alerts.threshold(rule, USUAL)
    assert rule.find(read(rule.fires), 0.0, figure)
    assert rule.find(read(rule.quiet), 0.0, figure) == []
    assert rule.find({}, 0.0, figure) is None


def test_the_files_of_prometheus_are_those_of_the_catalogue():
    thresholds = {rule.name: alerts.threshold(rule, USUAL) for rule in RULES}
    assert (FOLDER / "desk.rules.yml").read_text() == promql.rules_file(thresholds)
    assert (FOLDER / "desk.test.yml").read_text() == promql.test_file()
    written = (FOLDER / "desk.rules.yml").read_text()
    assert re.findall(r"- alert: (\w+)", written) == [rule.name for rule in RULES]


@pytest.mark.skipif(not shutil.which("promtool"), reason="no promtool on this machine")
def test_prometheus_itself_says_the_same(tmp_path):
    command = [shutil.which("promtool"), "test", "rules", "desk.test.yml"]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    # The control: with one threshold moved it does not pass.
    rules = (FOLDER / "desk.rules.yml").read_text()
    (tmp_path / "desk.rules.yml").write_text(rules.replace("abs(desk_clock_offset_seconds) > 2", "vector(1) > 2"))
    shutil.copy(FOLDER / "desk.test.yml", tmp_path)
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode != 0


def test_every_metric_and_every_section_is_there():
    named = {pick.metric for rule in RULES for pick in (rule.pick, rule.beside) if pick}
    assert named - explained() == set()
    sections = re.findall(r"^## (\w+)$", (ROOT / "docs" / "operations" / "alerts.md").read_text(), re.MULTILINE)
    assert sections == [rule.name for rule in RULES]


def test_the_dashboard_shows_metrics_that_there_are():
    board = json.loads((ROOT / "deploy" / "grafana" / "desk.json").read_text())
    panels = [panel for panel in board["panels"] if panel["type"] != "row"]
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    assert len(panels) > 10
    known = explained() | {"desk_http_request_seconds_bucket", "desk_http_request_seconds_count"}
    for panel in panels:
        assert panel["datasource"] == {"type": "prometheus", "uid": "${source}"}
        for target in panel["targets"]:
            names = set(re.findall(r"\bdesk_\w+", target["expr"]))
            assert names
            assert names - known == set(), panel["title"]
    at = [(p["gridPos"]["x"], p["gridPos"]["y"]) for p in board["panels"]]
    assert len(set(at)) == len(at)


def make(**values) -> Rule:
    usual = {"name": "X", "severity": Severity.WARNING, "title": "t", "remedy": "r", "form": Form.VALUE,
             "pick": Pick("m"), "threshold": 1, "fires": "", "quiet": ""}  # fmt: skip
    return Rule(**(usual | values))


def test_a_share_of_too_few_says_nothing():
    rule = make(form=Form.SHARE, pick=Pick("m", (("s", "=", "bad"),)), beside=Pick("m"), threshold=0.1, least=10)
    assert rule.find(read('m{s="bad"} 9\nm{s="ok"} 0'), 0, 0.1) == []
    assert rule.find(read('m{s="bad"} 9\nm{s="ok"} 1'), 0, 0.1) == [("", 0.9)]
    assert rule.find(read('m{s="bad"} 0\nm{s="ok"} 0'), 0, 0.1) == []


def test_periods_are_those_of_the_same_job():
    rule = make(form=Form.PERIODS, beside=Pick("p"), threshold=3)
    samples = read('m{job="a"} -100\nm{job="b"} -100\nm{job="c"} -100\np{job="a"} 10\np{job="b"} 100')
    assert rule.find(samples, 0, 3) == [("a", 10.0)]


def test_words_name_what_burns_and_are_short():
    rule = make(unit=" 秒")
    assert alerts.in_words(rule, [("holds", 12.0), ("orders", 3.25)]) == "holds 12 秒、orders 3.2 秒"
    assert alerts.in_words(rule, [(f"a{n}", 1.0) for n in range(9)]).endswith(" 等 9 处")
    assert len(alerts.in_words(rule, [("长" * 300, 1.0)] * 5)) == 500
    assert alerts.in_words(make(unit="%"), [("", 0.075)]) == "7.5%"
