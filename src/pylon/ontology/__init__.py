"""WHAT EXISTS: object types, links, actions, units; canonical.py, the only canonicaliser. Pure."""
