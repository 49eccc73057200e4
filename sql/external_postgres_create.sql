BEGIN;
CREATE TABLE {table} (
{columns}
);
{children}COMMIT
