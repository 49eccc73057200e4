INSERT INTO {target} ({columns})
SELECT (made.gpkafka_made).*{more}
  FROM (SELECT {function}(ext.*, {properties}::json) AS gpkafka_made{carried}
          FROM {source} AS ext{filter}
        -- keeps the subquery apart: without it the function is called for each column of each row
        OFFSET 0) AS made
 WHERE pg_catalog.pg_column_size(made.gpkafka_made) IS NOT NULL
