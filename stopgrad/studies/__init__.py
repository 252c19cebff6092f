"""The papers' experiments as values, and what carries them out: rows that are runs of their own, judged against a finding. Imports no torch."""
