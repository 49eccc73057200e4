INSERT INTO {numbered} ({columns}, gpkafka_number)
SELECT {columns},
       pg_catalog.row_number() OVER (ORDER BY gpkafka_partition, gpkafka_offset, gpkafka_row) - 1
  FROM {stage}
