SELECT pg_catalog.set_config(name, 'on', false)
  FROM pg_catalog.pg_settings
 WHERE name IN ('gp_enable_relsize_collection', 'enable_nestloop')
