"""The alerts as data: what is looked at, from where on it burns, for how long, and what to do (Z11).

One list serves both: our own job evaluates it over the figures of `/metrics` (watch/alerts.py), and
deploy/alerts/desk.rules.yml is written from it (watch/promql.py). Each has a sample that fires and one that does not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

#: name → [(labels, value)], as a scrape shows them
Samples = dict[str, list[tuple[Mapping[str, str], float]]]
Finding = tuple[str, float]


class Severity(StrEnum):
    CRITICAL = "critical"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Pick:
    """The samples of a metric whose labels match: `where` is [(label, `=`, `=~` or `!~`, value)]."""

    metric: str
    where: tuple[tuple[str, str, str], ...] = ()

    def of(self, samples: Samples) -> list[tuple[Mapping[str, str], float]] | None:
        """None where the metric is not there at all: then nothing can be said."""
        found = samples.get(self.metric)
        if found is None:
            return None
        return [(labels, value) for labels, value in found if all(_fits(labels, *one) for one in self.where)]

    def __str__(self) -> str:
        where = ", ".join(f'{label}{how}"{value}"' for label, how, value in self.where)
        return f"{self.metric}{{{where}}}" if where else self.metric


def _fits(labels: Mapping[str, str], label: str, how: str, value: str) -> bool:
    mine = labels.get(label, "")
    if how == "=":
        return mine == value
    return (re.fullmatch(value, mine) is not None) == (how == "=~")


class Form(StrEnum):
    """What is compared: the value, its distance from 0, the seconds since it as a moment, these in periods of
    `beside` with the same label, or the sum's share of the sum of `beside`."""

    VALUE = "value"
    AWAY = "away"
    AGE = "age"
    PERIODS = "periods"
    SHARE = "share"


@dataclass(frozen=True, slots=True)
class Rule:
    """One alert. `threshold` is a figure or the policy that holds it; it burns above, or below where `below` says so,
    once that has lasted for `lasts`, and ends once it was not so for `calm`."""

    name: str
    severity: Severity
    title: str
    remedy: str
    form: Form
    pick: Pick
    threshold: float | str
    fires: str
    quiet: str
    beside: Pick | None = None
    #: a share of fewer says nothing
    least: float = 0
    below: bool = False
    lasts: timedelta = timedelta(0)
    calm: timedelta = timedelta(minutes=5)
    #: how a figure is written for people
    unit: str = ""

    def find(self, samples: Samples, now: float, threshold: float) -> list[Finding] | None:
        """(labels in words, figure) of what burns at the moment `now` in Unix seconds; None where it can't be told."""
        figures = self._figures(samples, now)
        if figures is None:
            return None
        return [one for one in figures if (one[1] < threshold if self.below else one[1] > threshold)]

    def _figures(self, samples: Samples, now: float) -> list[Finding] | None:
        found = self.pick.of(samples)
        beside = self.beside.of(samples) if self.beside else []
        if found is None or beside is None:
            return None
        if self.form == Form.SHARE:
            whole = sum(value for _, value in beside)
            return [("", sum(value for _, value in found) / whole)] if whole >= self.least and whole else []
        return list(_each(self.form, found, beside, now))


def _each(form: Form, found: list, beside: list, now: float) -> Iterator[Finding]:
    periods = {tuple(labels.items()): value for labels, value in beside}
    for labels, value in found:
        words = "、".join(labels.values())
        if form == Form.PERIODS:
            if period := periods.get(tuple(labels.items())):
                yield words, (now - value) / period
        else:
            yield words, _MEASURES[form](value, now)


_MEASURES: dict[Form, Callable[[float, float], float]] = {
    Form.VALUE: lambda value, now: value,
    Form.AWAY: lambda value, now: abs(value),
    Form.AGE: lambda value, now: now - value,
}
