SELECT a.attname::pg_catalog.text AS name
  FROM pg_catalog.gp_distribution_policy p
  JOIN pg_catalog.pg_class c ON c.oid = p.localoid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 CROSS JOIN LATERAL pg_catalog.unnest(p.distkey::pg_catalog.int2[]) WITH ORDINALITY AS d (number, place)
  JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.number
 WHERE n.nspname = $1 AND c.relname = $2
 ORDER BY d.place
