"""Result rows as they are read: by kind, with their settings, their order and their names in words."""
