SELECT EXISTS (SELECT FROM pg_catalog.pg_foreign_data_wrapper WHERE fdwname = 'file_fdw') AS has_wrapper,
       EXISTS (SELECT FROM pg_catalog.pg_foreign_server WHERE srvname = 'gpkafka_segments') AS has_server
