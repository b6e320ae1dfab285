"""What names a run: canonical JSON, decoding, run ids, and the versions of the stages. No torch."""
