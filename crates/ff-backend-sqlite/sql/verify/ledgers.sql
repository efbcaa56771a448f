-- verify_ledgers
-- What the two ledgers of the contract miss or have too much.
-- Reads both tables, 36 rows.
WITH
    expected (ledger, version) AS (
        SELECT '_sqlx_migrations', value FROM json_each('[1,2,3,4,5,6,7,8,9,10,11,12,13,14,16,17,18,20,21]')
        UNION ALL
        SELECT 'ff_migration_annotation', value FROM json_each('[1,2,3,4,5,6,7,8,9,10,11,12,13,14,16,17,20]')
    ),
    found (ledger, version) AS (
        SELECT '_sqlx_migrations', version FROM _sqlx_migrations WHERE success = 1
        UNION ALL
        SELECT 'ff_migration_annotation', version FROM ff_migration_annotation
        WHERE backward_compatible = (version > 1)
    )
SELECT NULL AS partition_key, NULL AS execution_id, ledger || ' lacks version ' || version AS finding
FROM (SELECT * FROM expected EXCEPT SELECT * FROM found)
UNION ALL
SELECT NULL, NULL, ledger || ' has version ' || version || ' too much'
FROM (SELECT * FROM found EXCEPT SELECT * FROM expected)
