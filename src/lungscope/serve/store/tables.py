"""The tables of the store. Times are microseconds since 1970 in UTC, the same in every database."""

import sqlalchemy as sa
from sqlalchemy import Column, Double, Index, Integer, LargeBinary, MetaData, String, Table, Text

metadata = MetaData()

predictions = Table(
    "predictions",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("created_us", sa.BigInteger, nullable=False),
    Column("asked_by", String(200), nullable=False),
    Column("model_sha256", String(64), nullable=False),
    Column("engine", String(40), nullable=False),
    Column("file", String(200)),
    Column("reason", Text, nullable=False),
    Column("urgency", Double, nullable=False),
    Column("finding", String(200)),
    Column("positive", sa.Boolean),
    Column("p_abnormal", Double),
    Column("probabilities", sa.JSON(none_as_null=True)),
    Column("operating_point", String(200)),
    Column("threshold", Double),
    Column("image_sha256", String(64), nullable=False),
    Column("image_bytes", sa.BigInteger, nullable=False),
    Column("image_width", Integer),
    Column("image_height", Integer),
    Column("image_bits", Integer),
    Column("image_format", String(16)),
    Column("notes", sa.JSON, nullable=False),
    Column("patient_hash", String(64)),
    Column("heatmap", LargeBinary),
    Column("heatmap_height", Integer),
    Column("sketch", LargeBinary),
)
Index("predictions_by_time", predictions.c.created_us, predictions.c.id)
Index("predictions_by_urgency", predictions.c.urgency, predictions.c.id)

feedback = Table(
    "feedback",
    metadata,
    Column("prediction_id", String(32), sa.ForeignKey(predictions.c.id), primary_key=True),
    Column("verdict", String(10), nullable=False),
    Column("given_us", sa.BigInteger, nullable=False),
    Column("given_by", String(200), nullable=False),
)

days = Table(
    "days",
    metadata,
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("model_sha256", String(64), primary_key=True),
    Column("images", Integer, nullable=False),
    Column("assessed", Integer, nullable=False),
    Column("positive", Integer, nullable=False),
    Column("p_abnormal_sum", Double, nullable=False),
    Column("bins", sa.JSON, nullable=False),
    Column("sketch_sum", sa.JSON, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    Column("at_us", sa.BigInteger, nullable=False),
    Column("who", String(200), nullable=False),
    Column("action", String(40), nullable=False),
    Column("subject", String(32), nullable=False),
    Column("detail", Text, nullable=False),
    Column("hash", String(64), nullable=False),
)
