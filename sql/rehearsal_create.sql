CREATE TEMPORARY TABLE IF NOT EXISTS {table} (
    LIKE {target} INCLUDING DEFAULTS INCLUDING CONSTRAINTS,
    gpkafka_number pg_catalog.int8
) WITH (appendonly=false) ON COMMIT DELETE ROWS
DISTRIBUTED BY (gpkafka_number)
