"""What a run leaves behind: log, timeline, faults, report, video."""
