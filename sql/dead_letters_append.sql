INSERT INTO {table} (job, topic, "partition", "offset", "row", of_rows, "timestamp", timestamp_type, key, payload, headers,
                     has_record, error, sqlstate, stage, batch, written_at)
SELECT $1::pg_catalog.text, $2::pg_catalog.text, l."partition", l."offset", l."row", l.of_rows,
       CASE WHEN l.ms > 9000000000000000 THEN 'infinity'::pg_catalog.timestamptz
            ELSE 'epoch'::pg_catalog.timestamptz + l.ms * '1 millisecond'::pg_catalog.interval END,
       l.timestamp_type, l.key, l.payload, l.headers::pg_catalog.json,
       l.has_record, l.error, l.sqlstate, l.stage, l.batch,
       coalesce('epoch'::pg_catalog.timestamptz + l.written * '1 microsecond'::pg_catalog.interval,
                pg_catalog.statement_timestamp())
  FROM ROWS FROM (pg_catalog.unnest($4::pg_catalog.int4[]), pg_catalog.unnest($5::pg_catalog.int8[]),
                  pg_catalog.unnest($6::pg_catalog.int4[]), pg_catalog.unnest($7::pg_catalog.int8[]),
                  pg_catalog.unnest($8::pg_catalog.text[]), pg_catalog.unnest($9::pg_catalog.bytea[]),
                  pg_catalog.unnest($10::pg_catalog.bytea[]), pg_catalog.unnest($11::pg_catalog.text[]),
                  pg_catalog.unnest($12::pg_catalog.bool[]), pg_catalog.unnest($13::pg_catalog.text[]),
                  pg_catalog.unnest($14::pg_catalog.text[]), pg_catalog.unnest($15::pg_catalog.text[]),
                  pg_catalog.unnest($3::pg_catalog.int8[]), pg_catalog.unnest($16::pg_catalog.int4[]),
                  pg_catalog.unnest($17::pg_catalog.int8[]))
       AS l ("partition", "offset", "row", ms, timestamp_type, key, payload, headers,
             has_record, error, sqlstate, stage, batch, of_rows, written)
