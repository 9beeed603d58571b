"""POSTGRESQL: the only room that speaks SQL: embedded server, connection, migrations, queries.sql, tenancy."""
