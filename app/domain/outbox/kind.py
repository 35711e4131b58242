"""What a message type to parents is made of. The types themselves: outbox/kinds.py."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Form(StrEnum):
    """How a fact of the payload is written: money as ¥200.00, times on the studio's clock."""

    TEXT = "text"
    MONEY = "money"
    TIME = "time"
    DATE = "date"


class Audience(StrEnum):
    """Who is told (N12): every parent of the family, or who acted and those who asked to be told too."""

    FAMILY = "family"
    ACTOR = "actor"


@dataclass(frozen=True, slots=True)
class Fact:
    name: str
    label: str
    sample: str
    form: Form = Form.TEXT


@dataclass(frozen=True, slots=True)
class Field:
    key: str
    label: str
    wording: str

    @property
    def kind(self) -> str:
        """WeChat's type of the value: the key without its number."""
        return self.key.rstrip("0123456789")

    @property
    def editable(self) -> bool:
        """Words may be changed by a manager; figures and times are what they are."""
        return self.kind == "thing"


@dataclass(frozen=True, slots=True)
class Occasion:
    """Other words of a type for one occasion, which the payload names as `occasion`: the same WeChat template, whose
    words other than figures and times change, and another sentence."""

    name: str
    label: str
    #: field key → wording, for the fields that say something else
    words: dict[str, str]
    sentence: str
    #: facts that only this occasion has
    facts: tuple[Fact, ...] = ()


@dataclass(frozen=True, slots=True)
class Kind:
    """One message type. `sentence` is the text of the in-app message, which has no limits of WeChat's."""

    type: str
    title: str
    page: str
    facts: tuple[Fact, ...]
    fields: tuple[Field, ...]
    sentence: str
    audience: Audience = Audience.FAMILY
    #: ignores quiet hours and cooldown (96.72)
    urgent: bool = False
    #: one per family within `balance_message_cooldown` (N6)
    cooled: bool = False
    #: parents may turn it off (96.76)
    switchable: bool = False
    #: facts that the mini program's page takes as its query
    page_args: tuple[str, ...] = ()
    occasions: tuple[Occasion, ...] = ()

    @property
    def queue(self) -> str:
        """N3: waitlist and payment first."""
        return "urgent" if self.urgent else "default"

    @property
    def repeats_unknown(self) -> bool:
        """Whether it is sent again when WeChat was silent, so that it may or may not have arrived.

        What parents may switch off is not worth a duplicate: it goes to the in-app list instead. The others are:
        a seat or a payment missed costs more than a message twice.
        """
        return not self.switchable

    def field(self, key: str) -> Field:
        return next(f for f in self.fields if f.key == key)

    def occasion(self, name: object) -> Occasion | None:
        """The occasion of this name; None for one without words of its own."""
        return next((o for o in self.occasions if o.name == name), None)

    def facts_of(self, occasion: Occasion | None) -> tuple[Fact, ...]:
        """What a wording may mention on this occasion."""
        return self.facts + (occasion.facts if occasion else ())
