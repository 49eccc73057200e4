CREATE TABLE {table} (
{columns}
);
{children}