SELECT (SELECT count(*) FROM pg_catalog.gp_segment_configuration WHERE content >= 0 AND role = 'p') AS segments,
       pg_catalog.current_setting('gp_external_max_segs')::pg_catalog.int4 AS readers_max
