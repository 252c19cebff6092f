"""One self-contained HTML page made from the files of run directories. Imports no torch; the way in is ``page.write_report``."""
