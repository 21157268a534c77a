"""Pages of the reference: each module makes one kind of page from the code or its configuration."""
