"""TEXT FROM IT: SQL, JSON schema, reference pages and TypeScript, derived from the ontology. Pure."""
