"""WHO DECIDES: one module per agent type: a view in, proposed actions with reasons out. Pure."""
