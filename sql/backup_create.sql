CREATE TABLE {backup} (
{columns},
    gpss_save_timestamp pg_catalog.timestamptz,
    gpss_expression_error pg_catalog.text
){distribution}
