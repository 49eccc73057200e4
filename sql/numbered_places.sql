SELECT gpkafka_number, gpkafka_partition, gpkafka_offset, gpkafka_row
  FROM {numbered}
 WHERE gpkafka_number = ANY ($1)
