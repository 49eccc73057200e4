-- Makes the role that loads, with what a load needs and no more. Run it with psql as a superuser, in the database:
--
--   psql -d warehouse -v role=loader -v schema=public -v table=orders -v metadata=gpkafka -f loader_role_greenplum.sql
--
-- `metadata` is the job file's METADATA.SCHEMA: ledger, external tables and dead letters are the role's own there, and it
-- can make nothing in any other schema. The role gets no password here: `\password loader` gives it one unseen.
-- For one more table run it once more: what is there already says so, and is left as it is.

-- may log in, and have segments read from a loader; nothing else
CREATE ROLE :"role" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE CREATEEXTTABLE (type = 'readable', protocol = 'gpfdist');
CREATE SCHEMA :"metadata";

\set ON_ERROR_STOP on
GRANT USAGE, CREATE ON SCHEMA :"metadata" TO :"role";
GRANT USAGE ON SCHEMA :"schema" TO :"role";
-- for MODE update and merge, also what they do: SELECT, UPDATE, and DELETE where there is a DELETE_CONDITION
GRANT INSERT ON TABLE :"schema".:"table" TO :"role";
-- where rows pass a temporary table: update and merge, several outputs, dead letters. Everybody has it unless it was revoked
SELECT pg_catalog.current_database() AS database \gset
GRANT CONNECT, TEMPORARY ON DATABASE :"database" TO :"role";
