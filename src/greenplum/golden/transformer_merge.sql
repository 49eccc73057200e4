CREATE TEMPORARY TABLE IF NOT EXISTS "pg_temp"."gpkafka_mapped_1" (
    "id" bigint,
    "total" numeric(9,2),
    "doc" json,
    "gpkafka_partition" integer,
    "gpkafka_offset" bigint,
    "gpkafka_timestamp" bigint,
    "gpkafka_row" integer
) WITH (appendonly=false) ON COMMIT DELETE ROWS
DISTRIBUTED RANDOMLY;
CREATE TEMPORARY TABLE IF NOT EXISTS "pg_temp"."gpkafka_chosen_1" (
    "id" bigint,
    "total" numeric(9,2),
    "doc" json,
    "gpkafka_partition" integer,
    "gpkafka_offset" bigint,
    "gpkafka_timestamp" bigint,
    "gpkafka_is_rival" boolean
) WITH (appendonly=false) ON COMMIT DELETE ROWS
DISTRIBUTED RANDOMLY;
INSERT INTO "pg_temp"."gpkafka_mapped_1" ("id", "total", "doc", "gpkafka_partition", "gpkafka_offset", "gpkafka_timestamp", "gpkafka_row")
SELECT (made.gpkafka_made).*, made."doc", made."gpkafka_partition", made."gpkafka_offset", made."gpkafka_timestamp", made."gpkafka_row"
  FROM (SELECT "Shop"."orders_of"(ext.*, '{"a":"it''s"}'::json) AS gpkafka_made, ext."doc", ext."gpkafka_partition", ext."gpkafka_offset", ext."gpkafka_timestamp", ext."gpkafka_row"
          FROM "public"."gpkafkaloadext_x" AS ext
        -- keeps the subquery apart: without it the function is called for each column of each row
        OFFSET 0) AS made
 WHERE pg_catalog.pg_column_size(made.gpkafka_made) IS NOT NULL;
INSERT INTO "pg_temp"."gpkafka_chosen_1" ("id", "total", "doc", "gpkafka_partition", "gpkafka_offset", "gpkafka_timestamp", gpkafka_is_rival)
SELECT "id", "total", "doc", "gpkafka_partition", "gpkafka_offset", "gpkafka_timestamp", gpkafka_place > 1 AND ext."id" IS NOT NULL
  FROM (SELECT *,
               row_number() OVER latest AS gpkafka_place,
               lag(gpkafka_partition) OVER latest AS gpkafka_before,
               rank() OVER (PARTITION BY "id" ORDER BY "doc" DESC NULLS LAST) AS gpkafka_rank
          FROM "pg_temp"."gpkafka_mapped_1"
        WINDOW latest AS (PARTITION BY "id" ORDER BY "doc" DESC NULLS LAST, gpkafka_partition DESC, gpkafka_offset DESC, gpkafka_row DESC)) AS ext
 WHERE ext."id" IS NULL OR (gpkafka_place = 1 OR gpkafka_before <> gpkafka_partition AND gpkafka_rank = 1);
SELECT count(*) FROM "pg_temp"."gpkafka_chosen_1" WHERE gpkafka_is_rival;
-- only where that is not 0
DELETE FROM "pg_temp"."gpkafka_chosen_1" AS ext
 USING (SELECT "id", gpkafka_partition,
               row_number() OVER (PARTITION BY "id" ORDER BY gpkafka_timestamp DESC NULLS LAST, gpkafka_partition DESC) AS gpkafka_place
          FROM "pg_temp"."gpkafka_chosen_1"
         WHERE "id" IS NOT NULL) AS into_table
 WHERE into_table.gpkafka_place > 1 AND into_table.gpkafka_partition = ext.gpkafka_partition AND into_table."id" = ext."id";
SELECT pg_catalog.pg_advisory_xact_lock(2442035086720311054);
UPDATE "public"."orders" AS into_table
   SET "total" = ext."total"
  FROM "pg_temp"."gpkafka_chosen_1" AS ext
 WHERE into_table."id" = ext."id";
INSERT INTO "public"."orders" ("id", "total")
SELECT ext."id", ext."total"
  FROM "pg_temp"."gpkafka_chosen_1" AS ext
 WHERE NOT EXISTS (SELECT 1 FROM "public"."orders" AS into_table WHERE into_table."id" = ext."id")