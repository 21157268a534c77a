"""What a run leaves on disk: rows, maps, pictures, and what says where they are from."""
