"""Mission.toml: schema, loading, rules that span keys, digests."""
