"""Records of runs, mirrored to MLflow."""
