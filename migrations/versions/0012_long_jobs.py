"""Long work with its rows and checkpoints; sheets of adjustments; families found by name.

Revision ID: 0012_long_jobs
Revises: 0011_withdrawals
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations.columns import ascii_, big_id, create_index, create_table, drop_index, drop_table, money, utc

revision = "0012_long_jobs"
down_revision = "0011_withdrawals"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_table(
        "long_jobs",
        sa.Column("id", big_id(), autoincrement=True, nullable=False),
        sa.Column("kind", ascii_(32), nullable=False),
        sa.Column("title", sa.String(120), nullable=False),
        sa.Column("params", sa.Text(), nullable=False),
        sa.Column("status", ascii_(16), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("refused", sa.Integer(), nullable=False),
        sa.Column("checkpoint", sa.Integer(), nullable=False),
        sa.Column("lease_owner", ascii_(96), nullable=True),
        sa.Column("lease_until", utc(), nullable=True),
        sa.Column("heartbeat_at", utc(), nullable=True),
        sa.Column("deaths", sa.Integer(), nullable=False),
        sa.Column("error", sa.String(500), nullable=True),
        sa.Column("asked_by", sa.BigInteger(), nullable=False),
        sa.Column("created_at", utc(), nullable=False),
        sa.Column("started_at", utc(), nullable=True),
        sa.Column("finished_at", utc(), nullable=True),
        sa.Column("cancelled_by", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_long_jobs"),
        sa.ForeignKeyConstraint(["asked_by"], ["staff.id"], name="fk_long_jobs_asked_by"),
        sa.ForeignKeyConstraint(["cancelled_by"], ["staff.id"], name="fk_long_jobs_cancelled_by"),
        sa.CheckConstraint(
            "status IN ('queued', 'running', 'done', 'failed', 'cancelled')", name=op.f("ck_long_jobs_status")
        ),
        sa.CheckConstraint("checkpoint = done + refused AND checkpoint <= total", name=op.f("ck_long_jobs_checkpoint")),
        sa.CheckConstraint(
            "(status IN ('queued', 'running', 'failed')) = (finished_at IS NULL)", name=op.f("ck_long_jobs_finished")
        ),
    )
    create_index("ix_long_jobs_status", "long_jobs", ["status", "lease_until"])
    create_table(
        "long_job_rows",
        sa.Column("job_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("outcome", ascii_(16), nullable=False),
        sa.Column("code", ascii_(64), nullable=True),
        sa.Column("message", sa.String(500), nullable=True),
        sa.Column("made_id", sa.BigInteger(), nullable=True),
        sa.Column("created_at", utc(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "number", name="pk_long_job_rows"),
        sa.ForeignKeyConstraint(["job_id"], ["long_jobs.id"], name="fk_long_job_rows_job_id"),
        sa.CheckConstraint("outcome IN ('done', 'refused')", name=op.f("ck_long_job_rows_outcome")),
    )
    create_index("ix_long_job_rows_outcome", "long_job_rows", ["job_id", "outcome", "number"])
    create_table(
        "adjustment_batches",
        sa.Column("id", big_id(), autoincrement=True, nullable=False),
        sa.Column("status", ascii_(16), nullable=False),
        sa.Column("name", sa.String(120), nullable=False),
        sa.Column("storage_key", ascii_(96), nullable=False),
        sa.Column("media_type", ascii_(80), nullable=False),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.Column("sha256", ascii_(64), nullable=False),
        sa.Column("rows_sha256", ascii_(64), nullable=False),
        sa.Column(
            "live_rows_sha256",
            ascii_(64),
            sa.Computed("CASE WHEN status = 'asked' THEN rows_sha256 END", persisted=True),
        ),
        sa.Column("rows_count", sa.Integer(), nullable=False),
        sa.Column("note", sa.String(500), nullable=True),
        sa.Column("repeat_reason", sa.String(500), nullable=True),
        sa.Column("asked_by", sa.BigInteger(), nullable=False),
        sa.Column("created_at", utc(), nullable=False),
        sa.Column("asked_at", utc(), nullable=True),
        sa.Column("lapses_at", utc(), nullable=True),
        sa.Column("decided_by", sa.BigInteger(), nullable=True),
        sa.Column("decided_at", utc(), nullable=True),
        sa.Column("decision_note", sa.String(500), nullable=True),
        sa.Column("job_id", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_adjustment_batches"),
        sa.ForeignKeyConstraint(["asked_by"], ["staff.id"], name="fk_adjustment_batches_asked_by"),
        sa.ForeignKeyConstraint(["decided_by"], ["staff.id"], name="fk_adjustment_batches_decided_by"),
        sa.ForeignKeyConstraint(["job_id"], ["long_jobs.id"], name="fk_adjustment_batches_job_id"),
        sa.UniqueConstraint("storage_key", name="uq_adjustment_batches_storage_key"),
        sa.UniqueConstraint("job_id", name="uq_adjustment_batches_job_id"),
        sa.UniqueConstraint("live_rows_sha256", name="uq_adjustment_batches_live"),
        sa.CheckConstraint(
            "status IN ('draft', 'asked', 'approved', 'rejected', 'withdrawn', 'lapsed')",
            name=op.f("ck_adjustment_batches_status"),
        ),
        sa.CheckConstraint(
            "decided_by IS NULL OR decided_by <> asked_by", name=op.f("ck_adjustment_batches_two_persons")
        ),
        sa.CheckConstraint("(status = 'approved') = (job_id IS NOT NULL)", name=op.f("ck_adjustment_batches_job")),
    )
    create_index("ix_adjustment_batches_status", "adjustment_batches", ["status", "created_at"])
    create_index("ix_adjustment_batches_rows_sha256", "adjustment_batches", ["rows_sha256"])
    create_index("ix_adjustment_batches_asked_by", "adjustment_batches", ["asked_by", "created_at"])
    create_table(
        "adjustment_batch_rows",
        sa.Column("batch_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("family_id", sa.BigInteger(), nullable=False),
        sa.Column("amount", money(), nullable=False),
        sa.Column("type", ascii_(16), nullable=False),
        sa.Column("payment_method", ascii_(16), nullable=False),
        sa.Column("external_no", ascii_(64), nullable=True),
        sa.Column("reason_code", ascii_(32), nullable=False),
        sa.Column("note", sa.String(500), nullable=False),
        sa.PrimaryKeyConstraint("batch_id", "number", name="pk_adjustment_batch_rows"),
        sa.ForeignKeyConstraint(["batch_id"], ["adjustment_batches.id"], name="fk_adjustment_batch_rows_batch_id"),
        sa.ForeignKeyConstraint(["family_id"], ["families.id"], name="fk_adjustment_batch_rows_family_id"),
        sa.CheckConstraint("amount <> 0", name=op.f("ck_adjustment_batch_rows_amount")),
    )
    create_index("ix_adjustment_batch_rows_family_id", "adjustment_batch_rows", ["family_id"])
    create_index("ix_adjustment_batch_rows_external_no", "adjustment_batch_rows", ["external_no"])
    create_index("ix_families_name", "families", ["name"])


def downgrade() -> None:
    drop_index("ix_families_name", "families")
    for table in ("adjustment_batch_rows", "adjustment_batches", "long_job_rows", "long_jobs"):
        drop_table(table)
