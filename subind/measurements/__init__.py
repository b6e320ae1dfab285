"""What finished networks are asked: one file a measurement, its spec and what it computes in one class."""
