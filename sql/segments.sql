SELECT (SELECT count(*) FROM pg_catalog.gp_segment_configuration WHERE content >= 0 AND role = 'p') AS segments,
       (SELECT count(DISTINCT hostname) = 1 FROM pg_catalog.gp_segment_configuration WHERE role = 'p') AS is_one_host,
       (SELECT max_val::pg_catalog.int4 FROM pg_catalog.pg_settings
         WHERE name = 'gp_max_packet_size' AND context = 'backend') AS datagram_max,
       pg_catalog.current_setting('gp_external_max_segs')::pg_catalog.int4 AS readers_max
