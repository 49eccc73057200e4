CREATE TEMPORARY TABLE IF NOT EXISTS {table} (
{columns}
){storage} ON COMMIT DELETE ROWS{distribution}
