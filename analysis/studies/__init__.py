"""How often the intervals and verdicts of a report are right, on simulated seeds: the tables of docs/statistics.md."""
