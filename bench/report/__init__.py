"""What readers look at: tables and figures made from stored rows."""
