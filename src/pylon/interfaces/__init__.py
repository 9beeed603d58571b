"""THE WAYS IN: REST API, command line, and later stream, MCP and dashboard. Translate, never decide."""
