"""What packs cost: their work, memory and seconds, and how runs are cut into packs."""
