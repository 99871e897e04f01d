-- Without the library in shared_preload_libraries, which these tests do not
-- need, CREATE EXTENSION warns that nothing will be delivered.
SET client_min_messages = error;
CREATE EXTENSION rswebhook;

-- Autovacuum leaves the rings alone, and takes no statistics of what nobody
-- searches.
SELECT regexp_replace(relname, '_\d$', '') AS ring, count(*)
    FROM pg_class
    WHERE relnamespace = 'rswebhook'::regnamespace AND relname ~ '^(event|delivery)_\d$'
    AND 'autovacuum_vacuum_insert_threshold=-1' = ANY (reloptions)
    GROUP BY ring ORDER BY ring;
SELECT attname, count(*)
    FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
    WHERE relnamespace = 'rswebhook'::regnamespace AND relkind IN ('r', 'p')
    AND attnum > 0 AND attstattarget = 0
    GROUP BY attname ORDER BY attname;
