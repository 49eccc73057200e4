CREATE TABLE {table} (
    job            pg_catalog.text NOT NULL,
    topic          pg_catalog.text NOT NULL,
    "partition"    pg_catalog.int4 NOT NULL,
    "offset"       pg_catalog.int8 NOT NULL,
    "row"          pg_catalog.int4,
    of_rows        pg_catalog.int4,
    "timestamp"    pg_catalog.timestamptz,
    timestamp_type pg_catalog.text,
    key            pg_catalog.bytea,
    payload        pg_catalog.bytea,
    headers        pg_catalog.json,
    has_record     pg_catalog.bool NOT NULL,
    error          pg_catalog.text NOT NULL,
    sqlstate       pg_catalog.text,
    stage          pg_catalog.text NOT NULL,
    batch          pg_catalog.int8 NOT NULL,
    written_at     pg_catalog.timestamptz NOT NULL
){distribution}
