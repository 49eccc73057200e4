DELETE FROM {chosen} AS ext
 USING (SELECT {key}, gpkafka_partition,
               row_number() OVER (PARTITION BY {key} ORDER BY gpkafka_timestamp DESC NULLS LAST, gpkafka_partition DESC) AS gpkafka_place
          FROM {chosen}
         WHERE {keyed}) AS into_table
 WHERE into_table.gpkafka_place > 1 AND into_table.gpkafka_partition = ext.gpkafka_partition AND {match}
