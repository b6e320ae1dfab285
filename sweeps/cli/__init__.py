"""The command `subind`, typed with Typer."""
