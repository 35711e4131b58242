"""Every route and method of the application, and who may use it (S2). A route that is not here fails the tests.

Adding a route: one line `"METHOD /path": who`, with the path as the blueprint writes it. `who` is
    STAFF                 every signed-in member of staff
    "finance manager"     these roles; all others are refused with 403
    PUBLIC                anyone
    PARENT                a parent's token; everyone else, staff too, gets 401
A new path parameter also needs an entry in `tests/architecture/seeded.py`, so that GET finds a row.

GET routes that may write, with the reason, are in MAY_WRITE; there is no other exception.
"""

from __future__ import annotations

PUBLIC = "public"
PARENT = "parent"
STAFF = "front_desk finance manager auditor admin"

_DESK = "front_desk finance manager"
_READ_FAMILIES = "front_desk finance manager auditor"
_SEE_STAFF = "manager auditor admin"

ROUTES: dict[str, str] = {
    # files, and what machines ask
    "GET /static/<path:filename>": PUBLIC,
    "GET /healthz": PUBLIC,
    "GET /readyz": PUBLIC,
    "GET /metrics": PUBLIC,  # its own token, see tests of metrics
    # signing in
    "GET /sign-in": PUBLIC,
    "POST /sign-in": PUBLIC,
    "GET /sign-in/code": PUBLIC,
    "POST /sign-in/code": PUBLIC,
    "POST /sign-out": STAFF,
    "GET /step-up": STAFF,
    "POST /step-up": STAFF,
    # one's own account
    "GET /account": STAFF,
    "GET /account/password": STAFF,
    "POST /account/password": STAFF,
    "GET /account/second-factor": STAFF,
    "GET /account/second-factor/qr.svg": STAFF,
    "POST /account/second-factor/begin": STAFF,
    "POST /account/second-factor/confirm": STAFF,
    "POST /account/second-factor/remove": STAFF,
    "POST /account/recovery-codes": STAFF,
    "POST /account/sessions/<int:session_id>/end": STAFF,
    "POST /account/sign-out-everywhere": STAFF,
    "POST /account/theme": STAFF,
    # staff and roles
    "GET /staff": _SEE_STAFF,
    "GET /staff/<int:staff_id>": _SEE_STAFF,
    "GET /staff/new": "admin",
    "POST /staff/new": "admin",
    "GET /staff/<int:staff_id>/edit": "admin",
    "POST /staff/<int:staff_id>/edit": "admin",
    "GET /staff/<int:staff_id>/role": "admin",
    "POST /staff/<int:staff_id>/role": "admin",
    "GET /staff/<int:staff_id>/disable": "admin",
    "POST /staff/<int:staff_id>/disable": "admin",
    "POST /staff/<int:staff_id>/enable": "admin",
    "GET /staff/<int:staff_id>/password": "admin",
    "POST /staff/<int:staff_id>/password": "admin",
    "GET /staff/<int:staff_id>/second-factor": "admin",
    "POST /staff/<int:staff_id>/second-factor": "admin",
    "POST /staff/requests/<int:request_id>/approve": "manager admin",
    "GET /staff/requests/<int:request_id>/reject": "manager admin",
    "POST /staff/requests/<int:request_id>/reject": "manager admin",
    "POST /staff/requests/<int:request_id>/withdraw": "admin",
    # start page, search, families
    "GET /": STAFF,
    "GET /search": _READ_FAMILIES,
    "GET /families/<int:family_id>": _READ_FAMILIES,
    "GET /families/<int:family_id>/adjustments": _READ_FAMILIES,
    "GET /families/<int:family_id>/bookings": _READ_FAMILIES,
    "GET /families/<int:family_id>/messages": _READ_FAMILIES,
    "GET /families/<int:family_id>/audit": "manager auditor",
    "GET /families/<int:family_id>/students/<int:profile_id>": _DESK,
    "POST /families/<int:family_id>/students/<int:profile_id>": _DESK,
    "GET /families/<int:family_id>/parents/<int:user_id>": _DESK,
    "POST /families/<int:family_id>/parents/<int:user_id>": _DESK,
    "GET /families/<int:family_id>/merge": "finance manager",
    "POST /families/<int:family_id>/merge": "finance manager",
    "GET /families/<int:family_id>/students/<int:profile_id>/move": "finance manager",
    "POST /families/<int:family_id>/students/<int:profile_id>/move": "finance manager",
    "GET /families/<int:family_id>/parents/<int:user_id>/move": "finance manager",
    "POST /families/<int:family_id>/parents/<int:user_id>/move": "finance manager",
    "POST /families/parents/<int:user_id>/phone": _DESK,
    "POST /families/students/<int:profile_id>/birthday": _DESK,
    # money desk
    "GET /adjustments": _READ_FAMILIES,
    "GET /adjustments/<int:adjustment_id>": _READ_FAMILIES,
    "GET /adjustments/missing-receipts": _DESK,
    "GET /adjustments/new": _DESK,
    "GET /families/<int:family_id>/adjust": _DESK,
    "POST /families/<int:family_id>/adjust": _DESK,
    "GET /families/<int:family_id>/adjust/preview": _DESK,
    "POST /adjustments/<int:adjustment_id>/receipts": _DESK,
    "POST /adjustments/<int:adjustment_id>/withdraw": _DESK,
    "POST /adjustments/<int:adjustment_id>/undo": _DESK,
    "POST /adjustments/<int:adjustment_id>/undo-request": _DESK,
    "GET /approvals": "finance manager",
    "POST /adjustments/<int:adjustment_id>/approve": "finance manager",
    "POST /adjustments/<int:adjustment_id>/reject": "finance manager",
    "GET /receipts/<int:receipt_id>": _READ_FAMILIES,
    "GET /families/<int:family_id>/wallet-control": "manager",
    "POST /families/<int:family_id>/wallet-control": "manager",
    # bookings at the desk, arrears
    "GET /families/<int:family_id>/bookings/new": _DESK,
    "POST /families/<int:family_id>/bookings/new": _DESK,
    "GET /bookings/<int:booking_id>": _READ_FAMILIES,
    "GET /bookings/<int:booking_id>/cancel": _DESK,
    "POST /bookings/<int:booking_id>/cancel": _DESK,
    "GET /bookings/<int:booking_id>/leave": _DESK,
    "POST /bookings/<int:booking_id>/leave": _DESK,
    "GET /late-refunds": "finance manager",
    "POST /late-refunds/<int:request_id>/approve": "finance manager",
    "POST /late-refunds/<int:request_id>/reject": "finance manager",
    "POST /late-refunds/<int:request_id>/withdraw": "finance manager",
    "GET /arrears": _READ_FAMILIES,
    "POST /arrears/export": "finance manager auditor",
    # notification centre
    "GET /notices": _READ_FAMILIES,
    "GET /notices/<int:notice_id>": _READ_FAMILIES,
    "GET /notices/delivery": _READ_FAMILIES,
    "POST /notices/delivery/export": _READ_FAMILIES,
    "GET /notices/report": _READ_FAMILIES,
    "GET /notices/report/settled": _READ_FAMILIES,
    "GET /notices/report/<kind>": _READ_FAMILIES,
    "POST /notices/report/export": _READ_FAMILIES,
    "POST /notices/<int:notice_id>/resend": "finance manager",
    # settings
    "GET /settings/policies": "finance manager auditor admin",
    "GET /settings/policies/<name>": "finance manager auditor admin",
    "GET /settings/policies/<name>/edit": "manager",
    "POST /settings/policies/<name>/edit": "manager",
    "POST /settings/policies/requests/<int:request_id>/approve": "manager",
    "GET /settings/policies/requests/<int:request_id>/reject": "manager",
    "POST /settings/policies/requests/<int:request_id>/reject": "manager",
    "POST /settings/policies/requests/<int:request_id>/withdraw": "manager",
    "GET /settings/templates": "manager",
    "GET /settings/templates/<kind>": "manager",
    "POST /settings/templates/<kind>": "manager",
    "POST /settings/templates/<kind>/restore": "manager",
    # audit, system
    "GET /audit": "manager auditor",
    "GET /audit/<int:entry_id>": "manager auditor",
    "POST /audit/export": "manager auditor",
    "GET /system": _SEE_STAFF,
    # calendar, roll, catalog
    "GET /schedule": _READ_FAMILIES,
    "GET /schedule/<int:schedule_id>": _READ_FAMILIES,
    "GET /schedule/<int:schedule_id>/print": _READ_FAMILIES,
    "GET /schedule/<int:schedule_id>/book": _DESK,
    "POST /schedule/<int:schedule_id>/book": _DESK,
    "POST /schedule/<int:schedule_id>/roll/<int:booking_id>/<event>": _DESK,
    "GET /schedule/new": "manager",
    "POST /schedule/new": "manager",
    "GET /schedule/copy": "manager",
    "POST /schedule/copy": "manager",
    "GET /schedule/<int:schedule_id>/edit": "manager",
    "POST /schedule/<int:schedule_id>/edit": "manager",
    "GET /schedule/<int:schedule_id>/cancel": "manager",
    "POST /schedule/<int:schedule_id>/cancel": "manager",
    "GET /catalog": _READ_FAMILIES,
    "GET /catalog/<kind>/new": "manager",
    "POST /catalog/<kind>/new": "manager",
    "GET /catalog/<kind>/<int:entry_id>": "manager",
    "POST /catalog/<kind>/<int:entry_id>": "manager",
    "POST /catalog/<kind>/<int:entry_id>/archive": "manager",
    "POST /catalog/<kind>/<int:entry_id>/restore": "manager",
    # JSON for the mini program
    "GET /api/docs": PUBLIC,
    "GET /api/v1/openapi.json": PUBLIC,
    "POST /api/v1/auth/login": PUBLIC,
    "POST /api/v1/auth/refresh": PUBLIC,
    "POST /api/v1/auth/logout": PARENT,
    "POST /api/v1/auth/phone": PARENT,
    "GET /api/v1/me": PARENT,
    "PATCH /api/v1/me": PARENT,
    "GET /api/v1/me/notification-preferences": PARENT,
    "PUT /api/v1/me/notification-preferences": PARENT,
    "GET /api/v1/me/subscriptions": PARENT,
    "POST /api/v1/me/subscriptions": PARENT,
    "GET /api/v1/notifications": PARENT,
    "POST /api/v1/notifications/<id:notification_id>/read": PARENT,
    "GET /api/v1/profiles": PARENT,
    "POST /api/v1/profiles": PARENT,
    "PATCH /api/v1/profiles/<id:profile_id>": PARENT,
    "GET /api/v1/schedules": PARENT,
    "GET /api/v1/schedules/<id:schedule_id>": PARENT,
    "GET /api/v1/schedules/<id:schedule_id>/availability": PARENT,
    "POST /api/v1/bookings": PARENT,
    "GET /api/v1/bookings/my": PARENT,
    "GET /api/v1/bookings/<id:booking_id>": PARENT,
    "POST /api/v1/bookings/<id:booking_id>/cancel": PARENT,
    "POST /api/v1/bookings/<id:booking_id>/leave": PARENT,
    "GET /api/v1/wallet": PARENT,
    "GET /api/v1/wallet/balance": PARENT,
    "GET /api/v1/wallet/transactions": PARENT,
}

#: "METHOD path" → why this GET may write
MAY_WRITE: dict[str, str] = {}
