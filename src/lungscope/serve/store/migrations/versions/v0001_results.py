"""Predictions, feedback, daily summaries, and an audit log that only grows."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

TRIGGERS = {
    "sqlite": (
        "CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'append only'); END",
        "CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'append only'); END",
    ),
    "postgresql": (
        "CREATE FUNCTION audit_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'append only'; END $$",
        "CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only()",
    ),
}


def upgrade() -> None:
    """Create the tables; written out, because a migration must not change when `tables.py` does."""
    _create_predictions()
    op.create_table(
        "feedback",
        sa.Column("prediction_id", sa.String(32), sa.ForeignKey("predictions.id"), primary_key=True),
        sa.Column("verdict", sa.String(10), nullable=False),
        sa.Column("given_us", sa.BigInteger, nullable=False),
        sa.Column("given_by", sa.String(200), nullable=False),
    )
    op.create_table(
        "days",
        sa.Column("day", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("model_sha256", sa.String(64), primary_key=True),
        *[sa.Column(name, sa.Integer, nullable=False) for name in ("images", "assessed", "positive")],
        sa.Column("p_abnormal_sum", sa.Double, nullable=False),
        *[sa.Column(name, sa.JSON, nullable=False) for name in ("bins", "sketch_sum")],
    )
    op.create_table(
        "audit",
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("who", sa.String(200), nullable=False),
        sa.Column("action", sa.String(40), nullable=False),
        sa.Column("subject", sa.String(32), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
    )
    for statement in TRIGGERS[op.get_bind().dialect.name]:
        op.execute(statement)


def _create_predictions() -> None:
    op.create_table(
        "predictions",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("asked_by", sa.String(200), nullable=False),
        sa.Column("model_sha256", sa.String(64), nullable=False),
        sa.Column("engine", sa.String(40), nullable=False),
        sa.Column("file", sa.String(200)),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("urgency", sa.Double, nullable=False),
        sa.Column("finding", sa.String(200)),
        sa.Column("positive", sa.Boolean),
        sa.Column("p_abnormal", sa.Double),
        sa.Column("probabilities", sa.JSON),
        sa.Column("operating_point", sa.String(200)),
        sa.Column("threshold", sa.Double),
        sa.Column("image_sha256", sa.String(64), nullable=False),
        sa.Column("image_bytes", sa.BigInteger, nullable=False),
        *[sa.Column(f"image_{name}", sa.Integer) for name in ("width", "height", "bits")],
        sa.Column("image_format", sa.String(16)),
        sa.Column("notes", sa.JSON, nullable=False),
        sa.Column("patient_hash", sa.String(64)),
        sa.Column("heatmap", sa.LargeBinary),
        sa.Column("heatmap_height", sa.Integer),
        sa.Column("sketch", sa.LargeBinary),
    )
    op.create_index("predictions_by_time", "predictions", ["created_us", "id"])
    op.create_index("predictions_by_urgency", "predictions", ["urgency", "id"])
