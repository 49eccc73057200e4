INSERT INTO {chosen} ({columns}, gpkafka_is_rival{deleted})
SELECT {columns}, gpkafka_place > 1 AND {keyed}{is_deleted}
  FROM (SELECT *,
               row_number() OVER latest AS gpkafka_place,
               lag(gpkafka_partition) OVER latest AS gpkafka_before{rank}
          FROM {mapped}
        WINDOW latest AS (PARTITION BY {key} ORDER BY {order}gpkafka_partition DESC, gpkafka_offset DESC, gpkafka_row DESC)) AS ext
 WHERE {unkeyed}(gpkafka_place = 1 OR gpkafka_before <> gpkafka_partition{ranked})
