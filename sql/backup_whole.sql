INSERT INTO {backup} ({columns}, gpss_save_timestamp, gpss_expression_error)
SELECT {columns}, pg_catalog.now(), $1
  FROM {stage}
