SELECT content::pg_catalog.int4 AS segment, hostname::pg_catalog.text AS host
  FROM pg_catalog.gp_segment_configuration
 WHERE content >= 0 AND role = 'p'
 ORDER BY content
