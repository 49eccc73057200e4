SELECT a.attname::pg_catalog.text AS name, a.attnum AS number, p.distkey::pg_catalog.int2[] AS key
  FROM pg_catalog.gp_distribution_policy p
  JOIN pg_catalog.pg_class c ON c.oid = p.localoid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
 WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum = ANY (p.distkey::pg_catalog.int2[])
