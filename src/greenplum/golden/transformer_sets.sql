CREATE TEMPORARY TABLE IF NOT EXISTS "pg_temp"."gpkafka_stage" (
    "doc" json
) WITH (appendonly=false) ON COMMIT DELETE ROWS
DISTRIBUTED RANDOMLY;
INSERT INTO "pg_temp"."gpkafka_stage" ("doc")
SELECT "doc"
  FROM "public"."gpkafkaloadext_x" AS ext;
INSERT INTO "public"."orders" ("id", "name", "total")
SELECT (made.gpkafka_made).*
  FROM (SELECT "Shop"."orders_of"(ext.*, '{"a":"it''s"}'::json) AS gpkafka_made
          FROM "pg_temp"."gpkafka_stage" AS ext
        -- keeps the subquery apart: without it the function is called for each column of each row
        OFFSET 0) AS made
 WHERE pg_catalog.pg_column_size(made.gpkafka_made) IS NOT NULL