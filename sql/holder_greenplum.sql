SELECT a.pid,
       a.usename::pg_catalog.text AS role,
       coalesce(a.application_name, '') AS application_name,
       pg_catalog.host(a.client_addr) AS client,
       pg_catalog.date_trunc('second', a.backend_start)::pg_catalog.text AS since,
       (extract(epoch FROM a.state_change) * 1000000)::pg_catalog.int8 AS last_act,
       extract(epoch FROM pg_catalog.clock_timestamp() - a.state_change)::pg_catalog.float8 AS silent
  FROM pg_catalog.pg_locks l
  JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
 WHERE l.locktype = 'advisory'
   AND l.granted
   AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
   AND l.classid::pg_catalog.int8 = ($1::pg_catalog.int4::pg_catalog.int8 & 4294967295)
   AND l.objid::pg_catalog.int8 = $2::pg_catalog.int4
   AND l.objsubid = 2
   AND l.gp_segment_id = -1
