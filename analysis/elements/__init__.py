"""What sections are made of: columns, pictures, paired differences, and what the seeds of a cell say together."""
