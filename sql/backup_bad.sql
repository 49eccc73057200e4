INSERT INTO {backup} ({columns}, gpss_save_timestamp, gpss_expression_error)
SELECT {columns}, pg_catalog.now(), bad.error
  FROM {numbered}
  JOIN ROWS FROM (pg_catalog.unnest($1::pg_catalog.int8[]), pg_catalog.unnest($2::pg_catalog.text[]))
       AS bad (number, error) ON bad.number = gpkafka_number
