"""The report: its page, its files, LaTeX, and two files of rows against each other."""
