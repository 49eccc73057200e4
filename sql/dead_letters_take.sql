DELETE FROM {table}
 WHERE job = $1 AND ("partition", "offset") > ($2::pg_catalog.int4, $3::pg_catalog.int8)
   AND ("partition", "offset") <= ($4::pg_catalog.int4, $5::pg_catalog.int8)
   AND written_at < 'epoch'::pg_catalog.timestamptz + $6::pg_catalog.int8 * '1 microsecond'::pg_catalog.interval
   AND "partition" = ANY ($7::pg_catalog.int4[]) AND has_record AND {where}
RETURNING "partition", "offset", "row", of_rows,
          CASE WHEN pg_catalog.isfinite("timestamp")
               THEN pg_catalog.round(pg_catalog.date_part('epoch', "timestamp") * 1000)::pg_catalog.int8
               WHEN "timestamp" IS NOT NULL THEN 9223372036854775807 END AS ms,
          timestamp_type, key, payload, headers::pg_catalog.text AS headers, error, sqlstate, stage, batch,
          (pg_catalog.date_part('epoch', written_at) * 1000000)::pg_catalog.int8 AS written
