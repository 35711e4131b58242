"""The makeups and compensation minutes of the tiny app: enough of the contract for the phone's pages, from memory."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from flask import g, request

TEXTS = {"available": "待补课", "booked": "已预约", "done": "已补课", "expired": "已失效"}


def spoken(minutes: int) -> str:
    """As the contract writes minutes: whole or half hours as such."""
    return f"{minutes / 60:g}小时" if minutes % 30 == 0 else f"{minutes}分钟"


def register(app, answer) -> None:
    """Add the calls. `app.credits` is what was missed, by `missed`; `app.minutes` the student's balance; `app.asked`
    what the desk was asked; a credit's classes are all of its type in `app.sessions`."""
    app.credits, app.asked, app.minutes, app.history = [], [], 0, []

    def beside(data):
        return data | {
            "next_cursor": None, "compensation_minutes": app.minutes,
            "compensation_hint": "您有课时补偿可使用" if app.minutes else None,
        }  # fmt: skip

    def change(kind, kind_text, minutes, session):
        app.minutes += minutes
        app.history.insert(0, {
            "id": len(app.history) + 1, "kind": kind, "kind_text": kind_text, "minutes": minutes,
            "at": datetime.now(UTC).isoformat(), "schedule": session, "note": session["course_name"],
        })  # fmt: skip

    def choice(session, credit):
        difference = session["duration_minutes"] - credit["minutes"]
        full = session["available"] <= 0
        minutes = (
            f"少{spoken(-difference)}" if difference < 0 else f"多{spoken(difference)}" if difference else "时长相同"
        )
        return {
            "schedule": session, "original_price": session["price"], "price": "0.00",
            "duration_difference": difference, "can_book": not full, "can_join_waitlist": full,
            "blocked_by": "SEAT_FULL" if full else None,
            "match": {"level": "级别相同", "type": "类型相同", "coach": "教练不同（何骏）", "venue": "场地相同",
                      "minutes": minutes, "text": f"级别相同，{minutes}"},
        }  # fmt: skip

    @app.get("/api/v1/makeup/my")
    def credits():
        wanted = request.args.get("status")
        return answer(beside({"items": [one for one in reversed(app.credits) if wanted in (None, one["status"])]}))

    @app.get("/api/v1/makeup/available")
    def available():
        credit = app.credits[int(request.args["credit_id"]) - 1]
        coach = request.args.get("coach_id")
        fitting = [one for one in app.sessions if one["course_type"] == "regular"]
        items = [choice(one, credit) for one in fitting if coach in (None, str(one["coach"]["id"]))]
        return answer(beside({"items": items}))

    @app.post("/api/v1/makeup/book")
    def book_makeup():
        asked = request.json
        assert request.headers["Idempotency-Key"]
        session = app.sessions[asked["course_schedule_id"] - 1]
        credit = next(one for one in app.credits if one["original_booking_id"] == asked["original_booking_id"])
        difference = session["duration_minutes"] - credit["minutes"]
        if session["available"] <= 0:
            free = [one for one in app.sessions if one["course_type"] == "regular" and one["available"] > 0]
            return answer({"alternatives": free[:1]}, 409, "这节课已满", error="SEAT_FULL")
        if difference < 0 and not asked.get("accept_shorter"):
            words = "本课程仅1小时，比您原课程少0.5小时，是否确认预约？"
            return answer({"earned": -difference}, 409, words, error="SHORTER_CLASS")
        if difference > 0 and not (asked.get("use_compensation") and app.minutes >= difference):
            missing = max(0, difference - app.minutes)
            data = {"needed": difference, "available": app.minutes, "missing": missing}
            words = f"课时补偿还差{spoken(missing)}" if missing else f"本课程需使用{spoken(difference)}课时补偿"
            return answer(data, 409, words, error="NOT_ENOUGH_COMPENSATION")
        if difference:
            change("earned" if difference < 0 else "used", "获得" if difference < 0 else "使用", -difference, session)
        profile = next(one for one in g.user["profiles"] if one["id"] == asked["profile_id"])
        booking = {
            "id": len(app.bookings) + 1, "kind": "makeup", "status": "booked", "status_text": "已预约",
            "source": "makeup_credit", "price": "0.00", "schedule": session, "profile_id": profile["id"],
            "profile_name": profile["name"], "order_id": None, "created_at": datetime.now(UTC).isoformat(),
            "can_cancel": True, "can_leave": True, "cancel_until": session["starts_at"],
        }  # fmt: skip
        app.bookings.append(booking)
        credit.update(status="booked", status_text=TEXTS["booked"], makeup_booking=booking)
        return answer({
            "makeup_booking_id": booking["id"], "booking": booking, "duration_difference": difference,
            "compensation_used": max(difference, 0), "compensation_earned": max(-difference, 0),
            "remaining_compensation": app.minutes,
        }, 201)  # fmt: skip

    @app.delete("/api/v1/makeup/<int:number>/cancel")
    def cancel_makeup(number):
        booking = app.bookings[number - 1]
        credit = next(one for one in app.credits if one["makeup_booking"] is booking)
        booking.update(status="cancelled", status_text="已取消", can_cancel=False, can_leave=False)
        if app.minutes:
            change("returned", "取消补课", -app.minutes, booking["schedule"])
        credit.update(status="available", status_text=TEXTS["available"], makeup_booking=None)
        return answer({"booking": booking, "credit": credit, "remaining_compensation": app.minutes})

    @app.post("/api/v1/makeup/credits/<int:number>/request")
    def ask(number):
        if app.asked:
            return answer(None, 409, "这次补课已请前台安排，请等待答复", error="REQUEST_OPEN")
        app.asked.append((number, request.json))
        return answer({"id": 1, "status": "open"}, 201)

    @app.get("/api/v1/compensation/balance")
    def balance():
        now = datetime.now(UTC)
        lot = {"id": 1, "minutes_left": app.minutes, "earned_at": now.isoformat(),
               "expires_at": (now + timedelta(days=14)).isoformat()}  # fmt: skip
        return answer({"minutes": app.minutes, "lots": [lot] if app.minutes else []})

    @app.get("/api/v1/compensation/history")
    def history():
        return answer({"items": app.history, "next_cursor": None})


def missed(app, minutes: int, *, status: str = "available") -> None:
    """The first student was away from a class of so many minutes."""
    session, now = app.sessions[0] | {"course_name": "<i>请假的课</i>"}, datetime.now(UTC)
    app.credits.append({
        "id": len(app.credits) + 1, "status": status, "status_text": TEXTS[status],
        "original_booking_id": 900 + len(app.credits), "original_schedule": session, "left_at": now.isoformat(),
        "valid_until": (now + timedelta(days=60)).isoformat(), "course_type": "regular", "level": "L1",
        "minutes": minutes, "profile_id": 1, "makeup_booking": None,
    })  # fmt: skip
