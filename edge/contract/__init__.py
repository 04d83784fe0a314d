"""The contract every stage reads: mission file, artifacts, preprocess, decoders, actions."""
