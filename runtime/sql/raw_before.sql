-- Before a script's own SQL: its text was checked by this rule of quoting.
SELECT pg_catalog.set_config('standard_conforming_strings', 'on', true)
