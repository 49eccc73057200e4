SELECT coalesce(bool_or(p.proretset), false) AS makes_sets
  FROM pg_catalog.pg_proc p
  JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
 WHERE p.proname = $1
   AND ($2::text IS NULL OR n.nspname = $2::text)
