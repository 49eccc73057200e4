CREATE TEMPORARY TABLE IF NOT EXISTS "pg_temp"."gpkafka_mapped_1" (
    "id" bigint,
    "Order" text,
    "total" numeric(9,2),
    "gpkafka_partition" integer,
    "gpkafka_offset" bigint,
    "gpkafka_timestamp" bigint,
    "gpkafka_row" integer
) WITH (appendonly=false) ON COMMIT DELETE ROWS
DISTRIBUTED RANDOMLY;
CREATE TEMPORARY TABLE IF NOT EXISTS "pg_temp"."gpkafka_chosen_1" (
    "id" bigint,
    "Order" text,
    "total" numeric(9,2),
    "gpkafka_partition" integer,
    "gpkafka_offset" bigint,
    "gpkafka_timestamp" bigint,
    "gpkafka_is_rival" boolean
) WITH (appendonly=false) ON COMMIT DELETE ROWS
DISTRIBUTED BY ("id");
INSERT INTO "pg_temp"."gpkafka_mapped_1" ("id", "Order", "total", "gpkafka_partition", "gpkafka_offset", "gpkafka_timestamp", "gpkafka_row")
SELECT (doc->>'id')::int,
       doc->>'order',
       (doc->>'total')::numeric,
       ext."gpkafka_partition",
       ext."gpkafka_offset",
       ext."gpkafka_timestamp",
       ext."gpkafka_row"
  FROM "public"."gpkafkaloadext_x" AS ext;
INSERT INTO "pg_temp"."gpkafka_chosen_1" ("id", "Order", "total", "gpkafka_partition", "gpkafka_offset", "gpkafka_timestamp", gpkafka_is_rival)
SELECT "id", "Order", "total", "gpkafka_partition", "gpkafka_offset", "gpkafka_timestamp", gpkafka_place > 1 AND ext."id" IS NOT NULL
  FROM (SELECT *,
               row_number() OVER latest AS gpkafka_place,
               lag(gpkafka_partition) OVER latest AS gpkafka_before
          FROM "pg_temp"."gpkafka_mapped_1"
        WINDOW latest AS (PARTITION BY "id" ORDER BY gpkafka_partition DESC, gpkafka_offset DESC, gpkafka_row DESC)) AS ext
 WHERE ext."id" IS NULL OR (gpkafka_place = 1 OR gpkafka_before <> gpkafka_partition);
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
   SET "Order" = ext."Order",
       "total" = ext."total"
  FROM "pg_temp"."gpkafka_chosen_1" AS ext
 WHERE into_table."id" = ext."id";
INSERT INTO "public"."orders" ("id", "Order", "total")
SELECT ext."id", ext."Order", ext."total"
  FROM "pg_temp"."gpkafka_chosen_1" AS ext
 WHERE NOT EXISTS (SELECT 1 FROM "public"."orders" AS into_table WHERE into_table."id" = ext."id")