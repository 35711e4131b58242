"""The waitlist of the tiny app: enough of the contract for the phone's pages. Seats are freed by the test."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from flask import g, request

TEXTS = {"waiting": "候补中", "offered": "待确认", "confirmed": "已补上", "declined": "已放弃", "cancelled": "已退出"}
WORDS = {
    "SEAT_TAKEN": "名额已被抢占",
    "OFFER_EXPIRED": "候补确认已过期，名额已顺位给下一位候补用户",
    "ARREARS_BLOCKED": "您的账户已欠费，请先充值",
}


def register(app, answer) -> None:
    """Add the calls. `app.entries` in the order of joining; `app.refuse` is the code that the next answer to an offer
    is refused with. A trial's confirmation makes an order by `app.make_order`."""
    app.entries, app.refuse = [], {}

    def shown(entry):
        offer = entry["until"] and {
            "id": 1, "kind": entry["kind"], "deadline": entry["until"].isoformat(),
            "decision_seconds_left": max(0, int((entry["until"] - datetime.now(UTC)).total_seconds())),
            "server_time": datetime.now(UTC).isoformat(), "begun_at": None,
        }  # fmt: skip
        live = entry["status"] in ("waiting", "offered")
        return {
            **{name: value for name, value in entry.items() if name not in ("until", "kind")},
            "status_text": TEXTS[entry["status"]], "offer": offer, "position": 2 if live else None, "queue_length": 5,
        }  # fmt: skip

    def end(entry, status):
        entry.update(status=status, until=None)
        entry["schedule"]["my_state"] = "full"
        return answer(shown(entry))

    @app.get("/api/v1/schedules/<int:number>")
    def session_of(number):
        return answer(app.sessions[number - 1])

    @app.post("/api/v1/waitlist/join")
    def join_queue():
        asked = request.json
        session = app.sessions[asked["course_schedule_id"] - 1]
        free = [one for one in app.sessions if one["course_type"] == "regular" and one["available"] > 0]
        if session["available"] > 0:
            return answer(None, 409, "这节课还有名额，可以直接预约", error="SEAT_AVAILABLE")
        if session["waitlist_count"] >= session["waitlist_capacity"]:
            data = {"alternatives": free[:3], "waitlist_count": 5, "waitlist_capacity": 5}
            return answer(data, 409, "候补队列已满，请选择其他课程", error="WAITLIST_FULL")
        profile = next(one for one in g.user["profiles"] if one["id"] == asked["profile_id"])
        if any(one["schedule"] is session and one["profile_id"] == profile["id"] for one in app.entries):
            return answer(None, 409, "该学员已在这节课的候补队列中", error="ALREADY_WAITING")
        session["waitlist_count"] += 1
        session["my_state"] = "waiting"
        entry = {
            "id": len(app.entries) + 1, "status": "waiting", "schedule": session, "profile_id": profile["id"],
            "profile_name": profile["name"], "joined_at": datetime.now(UTC).isoformat(),
            "auto_accept": asked["auto_accept"], "credit_id": asked.get("credit_id"), "use_compensation": False,
            "accept_shorter": asked.get("accept_shorter", False), "until": None, "kind": "open",
        }  # fmt: skip
        app.entries.append(entry)
        data = {"waitlist_id": entry["id"], "position": 2, "estimated_wait_time": "暂无数据",
                "alternatives": free[:1], "entry": shown(entry)}  # fmt: skip
        return answer(data, 201, "您是第2位候补")

    @app.get("/api/v1/waitlist/my")
    def waits():
        return answer({"items": [shown(one) for one in reversed(app.entries)], "next_cursor": None})

    @app.get("/api/v1/waitlist/position/<int:number>")
    def place_of(number):
        if number > len(app.entries):
            return answer(None, 404, "没有找到这个候补", error="NOT_FOUND")
        entry = shown(app.entries[number - 1])
        return answer({"position": entry["position"], "queue_length": 5, "estimated_wait_time": "暂无数据",
                       "offer": entry["offer"]})  # fmt: skip

    @app.patch("/api/v1/waitlist/<int:number>")
    def change_wait(number):
        app.entries[number - 1].update(request.json)
        return answer(shown(app.entries[number - 1]))

    @app.delete("/api/v1/waitlist/<int:number>")
    def leave_queue(number):
        return end(app.entries[number - 1], "cancelled")

    @app.put("/api/v1/waitlist/<int:number>/respond")
    def respond(number):
        action, entry = request.json["action"], app.entries[number - 1]
        assert request.headers["Idempotency-Key"]
        if code := app.refuse.pop(action, None):
            if code in ("SEAT_TAKEN", "OFFER_EXPIRED"):
                entry.update(status="waiting", until=None)
            return answer(None, 409, WORDS[code], error=code)
        if action == "decline":
            end(entry, "declined")
        data = {"entry": shown(entry), "booking": None, "order": None, "clashes": []}
        if action == "confirm" and entry["schedule"]["course_type"] == "trial":
            end(entry, "confirmed")
            data |= {"entry": shown(entry), "order": app.make_order(entry["schedule"], entry["profile_id"])}
        elif action == "confirm":
            end(entry, "confirmed")
            entry["schedule"]["my_state"] = "booked"
            g.user["balance"] = str(Decimal(g.user["balance"]) - Decimal(entry["schedule"]["price"]))
            app.bookings.append({
                "id": len(app.bookings) + 1, "kind": "regular", "status": "booked", "status_text": "已预约",
                "source": "wallet", "price": entry["schedule"]["price"], "schedule": entry["schedule"],
                "profile_id": entry["profile_id"], "profile_name": entry["profile_name"], "order_id": None,
                "created_at": datetime.now(UTC).isoformat(), "can_cancel": True, "can_leave": True,
                "cancel_until": entry["schedule"]["starts_at"],
            })  # fmt: skip
            others = [one for one in app.entries if one is not entry and one["status"] in ("waiting", "offered")]
            data |= {"entry": shown(entry), "booking": app.bookings[-1], "clashes": [shown(one) for one in others]}
        return answer(data)


def offer(app, number: int, *, kind: str = "open", seconds: float = 900) -> None:
    """A seat for this entry from now on."""
    entry = app.entries[number - 1]
    entry.update(status="offered", kind=kind, until=datetime.now(UTC) + timedelta(seconds=seconds))
    entry["schedule"]["my_state"] = "offered"
