WITH refused AS (
    SELECT pg_catalog.regexp_matches(filename, '/([0-9]+)@([0-9]+)\]$') AS block, linenum, errmsg, rawdata, rawbytes
      FROM pg_catalog.gp_read_error_log($1)
), placed AS (
    SELECT block[1]::pg_catalog.int4 AS "partition", block[2]::pg_catalog.int8 AS first, coalesce(linenum, 0) AS line,
           errmsg, rawdata, rawbytes
      FROM refused
), ordered AS (
    SELECT *, pg_catalog.row_number() OVER (ORDER BY "partition", first, line) AS place
      FROM placed
)
SELECT "partition", first, line,
       pg_catalog.left(coalesce(errmsg, ''), 1000) AS message,
       CASE WHEN place <= $4
            THEN coalesce(pg_catalog.substring(rawbytes, 1, $3::pg_catalog.int4),
                          pg_catalog.convert_to(pg_catalog.left(rawdata, $3::pg_catalog.int4), 'UTF8'))
       END AS raw
  FROM ordered
 WHERE place <= $2
 ORDER BY place
