"""The lock of a data set, dataset.lock.json: written, compared, verified."""
