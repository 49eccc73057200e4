WITH refused AS (
    SELECT pg_catalog.regexp_matches(filename, '/([0-9]+)@([0-9]+)\]$') AS block, linenum, errmsg, rawdata, rawbytes
      FROM pg_catalog.gp_read_error_log($1)
)
SELECT block[1]::pg_catalog.int4 AS partition,
       block[2]::pg_catalog.int8 AS first,
       coalesce(linenum, 0) AS line,
       pg_catalog.left(coalesce(errmsg, ''), 1000) AS message,
       coalesce(pg_catalog.substring(rawbytes, 1, $3::pg_catalog.int4),
                pg_catalog.convert_to(pg_catalog.left(rawdata, $3::pg_catalog.int4), 'UTF8'),
                ''::pg_catalog.bytea) AS raw
  FROM refused
 ORDER BY 1, 2, 3
 LIMIT $2
