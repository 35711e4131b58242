"""Cards in the SYSTEM group about staff accounts: power over them, and changes of one's own, happen in sight of all."""

from __future__ import annotations

from app import ids
from app.db import db
from app.domain.audit.actor import Actor
from app.domain.outbox import service as outbox
from app.domain.people.models import Staff


def announce(
    type: str, title: str, colour: str, staff: Staff, actor: Actor, more: list[list[str]] | None = None, text: str = ""
) -> None:
    """Building block: a card about this person, by whoever acts (S9)."""
    card = {
        "title": title,
        "colour": colour,
        "lines": [["员工", f"{staff.display_name}（{staff.username}）"], ["经办", actor.name], *(more or [])],
        "text": text,
        "link": {"text": "查看员工", "path": f"/staff/{staff.id}"},
    }
    outbox.tell_staff("system", type, card, dedupe=f"{staff.id}-{ids.new_hex()}")


def own_change(type: str, title: str, actor: Actor) -> None:
    """Building block: somebody changed what they sign in with. If it was another with their session, they see it here.

    The group is where staff are reached: nobody's mail or telephone is kept (S1, ASVS 6.3.7).
    """
    staff = db.session.get(Staff, actor.id)
    where = [["来源地址", actor.ip or "—"]]
    announce(type, title, "blue", staff, actor, where, "如果不是本人操作，请立即告诉管理员停用账号、重置密码。")
