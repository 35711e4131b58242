"""The classes and bookings of the tiny app: enough of the contract for the phone's pages, from memory."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from flask import g, request

STUDIO = ZoneInfo("Asia/Shanghai")
TITLE = "少儿体操启蒙"


def sessions() -> list[dict]:
    """Tomorrow five and the day after one: a free one, a trial, a full one, a dearer one, a nearly full one."""
    noon = (datetime.now(STUDIO) + timedelta(days=1)).replace(hour=12, minute=0, second=0, microsecond=0)
    made = [
        ("regular", TITLE, "L1", 0, "200.00", 6, 2),
        ("trial", "体操体验课", None, 1, "200.00", 4, 0),
        ("regular", "<b>满员课</b>", "L1", 2, "200.00", 6, 6),
        ("vip", "一对一私教", None, 3, "480.00", 1, 0),
        ("regular", "基础体操", "L2", 4, "220.00", 6, 5),
        ("regular", "后天的课", "L1", 24, "200.00", 6, 0),
    ]
    return [
        {
            "id": number, "course_name": name, "course_type": kind, "level": level,
            "coach": {"id": 1 + number % 2, "name": ("江晓燕", "何骏")[number % 2]},
            "venue": {"id": 1, "name": "一号馆"},
            "starts_at": (noon + timedelta(hours=hours)).isoformat(),
            "ends_at": (noon + timedelta(hours=hours + 1)).isoformat(), "duration_minutes": 60, "price": price,
            "status": "scheduled", "capacity": capacity, "booked": booked, "held": 0, "available": capacity - booked,
            "waitlist_count": 0, "waitlist_capacity": 8, "my_state": "none" if booked < capacity else "full",
        }
        for number, (kind, name, level, hours, price, capacity, booked) in enumerate(made, start=1)
    ]  # fmt: skip


def register(app, answer) -> None:
    """Add the calls to the fake app; `app.sessions` and `app.bookings` are what it knows."""
    app.sessions, app.bookings, app.answers = sessions(), [], {}

    def found(items):
        return answer({"items": items, "next_cursor": None})

    @app.get("/api/v1/schedules")
    def schedules():
        asked = request.args
        first, last = asked.get("date_from", "0"), asked.get("date_to", "9")
        wanted = [one for one in app.sessions if first <= one["starts_at"][:10] <= last]
        for name, value in asked.items():
            if name in ("type", "level"):
                wanted = [one for one in wanted if one["course_type" if name == "type" else name] == value]
            if name in ("coach_id", "venue_id"):
                wanted = [one for one in wanted if str(one[name.removesuffix("_id")]["id"]) == value]
        if asked.get("available") == "true":
            wanted = [one for one in wanted if one["available"] > 0]
        return found(wanted)

    @app.post("/api/v1/bookings")
    def book():
        asked, key = request.json, request.headers["Idempotency-Key"]
        if key in app.answers:
            return answer(app.answers[key], 201)
        session = app.sessions[asked["course_schedule_id"] - 1]
        profile = next(one for one in g.user["profiles"] if one["id"] == asked["profile_id"])
        if session["available"] == 0:
            free = [one for one in app.sessions if one["course_type"] == "regular" and one["available"] > 0]
            data = {"alternatives": free[:3], "waitlist_count": 0, "waitlist_capacity": 8}
            return answer(data, 409, "这节课已满", error="SEAT_FULL")
        if asked["price"] != session["price"]:
            data = {"price": session["price"], "seen": asked["price"]}
            return answer(data, 409, "课程价格已变更，请确认新价格后再预约", error="PRICE_CHANGED")
        if session["level"] == "L2":
            return answer(None, 409, "学员的级别还不能上这节课", error="LEVEL_NOT_ALLOWED")
        _move(session, 1)
        g.user["balance"] = str(Decimal(g.user["balance"]) - Decimal(session["price"]))
        booking = {
            "id": len(app.bookings) + 1, "kind": "regular", "status": "booked", "status_text": "已预约",
            "source": "wallet", "price": session["price"], "schedule": session, "profile_id": profile["id"],
            "profile_name": profile["name"], "order_id": None, "created_at": datetime.now(UTC).isoformat(),
            "can_cancel": True, "can_leave": True,
            "cancel_until": (datetime.fromisoformat(session["starts_at"]) - timedelta(hours=6)).isoformat(),
        }  # fmt: skip
        app.bookings.append(booking)
        app.answers[key] = {"booking": booking, "balance": g.user["balance"]}
        return answer(app.answers[key], 201)

    @app.get("/api/v1/bookings/my")
    def mine():
        wanted = request.args.get("status")
        return found([one for one in reversed(app.bookings) if wanted in (None, one["status"])])

    @app.get("/api/v1/bookings/<int:number>")
    def one(number):
        return answer(app.bookings[number - 1])

    @app.post("/api/v1/bookings/<int:number>/cancel")
    def cancel(number):
        booking = app.bookings[number - 1]
        if not booking["can_cancel"]:
            words = "开课前6小时内不能取消，您可以改为请假，保留一次补课机会"
            return answer(None, 409, words, error="CANCEL_TOO_LATE")
        g.user["balance"] = str(Decimal(g.user["balance"]) + Decimal(booking["price"]))
        _end(booking, "cancelled", "已取消")
        return answer({"booking": booking, "refund_amount": booking["price"], "balance": g.user["balance"]})

    @app.post("/api/v1/bookings/<int:number>/leave")
    def leave(number):
        booking = app.bookings[number - 1]
        _end(booking, "on_leave", "已请假")
        until = (datetime.now(UTC) + timedelta(days=60)).isoformat()
        return answer({"booking": booking, "makeup_credit": {"id": 1, "status": "available", "valid_until": until}})


def _end(booking, status, text):
    booking.update(status=status, status_text=text, can_cancel=False, can_leave=False)
    _move(booking["schedule"], -1)


def _move(session, seats):
    session["booked"] += seats
    session["available"] -= seats
    session["my_state"] = "booked" if seats > 0 else "none"
