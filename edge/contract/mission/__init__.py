"""The mission file: schema, loading, checks that span keys, digests."""
