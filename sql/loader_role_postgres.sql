-- Makes the role that loads into PostgreSQL. Run it with psql as a superuser, in the database:
--
--   psql -d warehouse -v role=loader -v schema=public -v table=orders -v metadata=gpkafka -f loader_role_postgres.sql
--
-- As loader_role_greenplum.sql, but for how rows come in: PostgreSQL reads them from a program, and a role that may have
-- the server run programs can do whatever the server's operating system user can. There is no lesser right for it: in SQL
-- the role is bounded, beyond SQL it is as trusted as whoever runs the server.

CREATE ROLE :"role" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE;
CREATE SCHEMA :"metadata";

\set ON_ERROR_STOP on
CREATE EXTENSION IF NOT EXISTS file_fdw;
CREATE SERVER IF NOT EXISTS gpkafka_segments FOREIGN DATA WRAPPER file_fdw;
GRANT USAGE ON FOREIGN SERVER gpkafka_segments TO :"role";
GRANT pg_execute_server_program TO :"role";

GRANT USAGE, CREATE ON SCHEMA :"metadata" TO :"role";
GRANT USAGE ON SCHEMA :"schema" TO :"role";
-- for MODE update and merge, also what they do: SELECT, UPDATE, and DELETE where there is a DELETE_CONDITION
GRANT INSERT ON TABLE :"schema".:"table" TO :"role";
-- where rows pass a temporary table: update and merge, several outputs, dead letters. Everybody has it unless it was revoked
SELECT pg_catalog.current_database() AS database \gset
GRANT CONNECT, TEMPORARY ON DATABASE :"database" TO :"role";
