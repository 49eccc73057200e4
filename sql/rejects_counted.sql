SELECT pg_catalog.substring(filename, '/([0-9]+)@[0-9]+\]$')::pg_catalog.int4 AS partition, count(*) AS refused
  FROM pg_catalog.gp_read_error_log($1)
 WHERE filename ~ '/[0-9]+@[0-9]+\]$'
 GROUP BY 1
