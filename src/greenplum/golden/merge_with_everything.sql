CREATE TEMPORARY TABLE IF NOT EXISTS "pg_temp"."gpkafka_mapped_1" (
    "id" bigint,
    "Order" text,
    "total" numeric(9,2),
    "op" text,
    "lsn" bigint,
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
    "op" text,
    "lsn" bigint,
    "gpkafka_partition" integer,
    "gpkafka_offset" bigint,
    "gpkafka_timestamp" bigint,
    "gpkafka_is_rival" boolean,
    "gpkafka_is_deleted" boolean
) WITH (appendonly=false) ON COMMIT DELETE ROWS
DISTRIBUTED BY ("id");
INSERT INTO "pg_temp"."gpkafka_mapped_1" ("id", "Order", "total", "op", "lsn", "gpkafka_partition", "gpkafka_offset", "gpkafka_timestamp", "gpkafka_row")
SELECT (doc->>'id')::int,
       doc->>'order',
       (doc->>'total')::numeric,
       ext."op",
       ext."lsn",
       ext."gpkafka_partition",
       ext."gpkafka_offset",
       ext."gpkafka_timestamp",
       ext."gpkafka_row"
  FROM "public"."gpkafkaloadext_x" AS ext;
INSERT INTO "pg_temp"."gpkafka_chosen_1" ("id", "Order", "total", "op", "lsn", "gpkafka_partition", "gpkafka_offset", "gpkafka_timestamp", gpkafka_is_rival, gpkafka_is_deleted)
SELECT "id", "Order", "total", "op", "lsn", "gpkafka_partition", "gpkafka_offset", "gpkafka_timestamp", gpkafka_place > 1 AND ext."id" IS NOT NULL AND ext."Order" IS NOT NULL, (op = 'D'
) IS TRUE
  FROM (SELECT *,
               row_number() OVER latest AS gpkafka_place,
               lag(gpkafka_partition) OVER latest AS gpkafka_before,
               rank() OVER (PARTITION BY "id", "Order" ORDER BY "lsn" DESC NULLS LAST, "total" DESC NULLS LAST) AS gpkafka_rank
          FROM "pg_temp"."gpkafka_mapped_1"
        WINDOW latest AS (PARTITION BY "id", "Order" ORDER BY "lsn" DESC NULLS LAST, "total" DESC NULLS LAST, gpkafka_partition DESC, gpkafka_offset DESC, gpkafka_row DESC)) AS ext
 WHERE ext."id" IS NULL OR ext."Order" IS NULL OR (gpkafka_place = 1 OR gpkafka_before <> gpkafka_partition AND gpkafka_rank = 1);
SELECT count(*) FROM "pg_temp"."gpkafka_chosen_1" WHERE gpkafka_is_rival;
-- only where that is not 0
DELETE FROM "pg_temp"."gpkafka_chosen_1" AS ext
 USING (SELECT "id", "Order", gpkafka_partition,
               row_number() OVER (PARTITION BY "id", "Order" ORDER BY gpkafka_timestamp DESC NULLS LAST, gpkafka_partition DESC) AS gpkafka_place
          FROM "pg_temp"."gpkafka_chosen_1"
         WHERE "id" IS NOT NULL AND "Order" IS NOT NULL) AS into_table
 WHERE into_table.gpkafka_place > 1 AND into_table.gpkafka_partition = ext.gpkafka_partition AND into_table."id" = ext."id" AND into_table."Order" = ext."Order";
SELECT pg_catalog.pg_advisory_xact_lock(2442035086720311054);
DELETE FROM "public"."orders" AS into_table
 USING "pg_temp"."gpkafka_chosen_1" AS ext
 WHERE into_table."id" = ext."id" AND into_table."Order" = ext."Order" AND ext.gpkafka_is_deleted;
UPDATE "public"."orders" AS into_table
   SET "total" = ext."total"
  FROM "pg_temp"."gpkafka_chosen_1" AS ext
 WHERE into_table."id" = ext."id" AND into_table."Order" = ext."Order"
   AND NOT ext.gpkafka_is_deleted
   AND (into_table.total <> ext.total
);
INSERT INTO "public"."orders" ("id", "Order", "total")
SELECT ext."id", ext."Order", ext."total"
  FROM "pg_temp"."gpkafka_chosen_1" AS ext
 WHERE NOT ext.gpkafka_is_deleted AND NOT EXISTS (SELECT 1 FROM "public"."orders" AS into_table WHERE into_table."id" = ext."id" AND into_table."Order" = ext."Order")