INSERT INTO "public"."orders" ("total", "id")
SELECT (made.gpkafka_made).*
  FROM (SELECT "Shop"."orders_of"(ext.*, '{"a":"it''s"}'::json) AS gpkafka_made
          FROM "public"."gpkafkaloadext_x" AS ext
         WHERE (doc IS NOT NULL
)
        -- keeps the subquery apart: without it the function is called for each column of each row
        OFFSET 0) AS made
 WHERE pg_catalog.pg_column_size(made.gpkafka_made) IS NOT NULL