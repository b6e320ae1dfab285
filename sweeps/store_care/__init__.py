"""Care of a store: what is damaged in it and what nobody needs."""
