SELECT distributed_id
  FROM pg_catalog.gp_distributed_xacts
 WHERE gp_session_id = pg_catalog.current_setting('gp_session_id')::pg_catalog.int4
