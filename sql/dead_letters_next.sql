SELECT "partition", "offset",
       pg_catalog.sum(coalesce(pg_catalog.octet_length(payload), 0) + coalesce(pg_catalog.octet_length(key), 0)
                      + coalesce(pg_catalog.octet_length(headers::pg_catalog.text), 0))::pg_catalog.int8 AS bytes
  FROM {table}
 WHERE job = $1 AND ("partition", "offset") > ($2::pg_catalog.int4, $3::pg_catalog.int8)
   AND written_at < 'epoch'::pg_catalog.timestamptz + $5::pg_catalog.int8 * '1 microsecond'::pg_catalog.interval
   AND "partition" = ANY ($6::pg_catalog.int4[]) AND has_record AND {where}
 GROUP BY 1, 2
 ORDER BY 1, 2
 LIMIT $4
