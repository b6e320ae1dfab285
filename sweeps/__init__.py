"""The service: Ray Tune fans a grid out, MLflow mirrors it, the command `subind` drives it."""
