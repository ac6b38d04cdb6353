"""The table of tiles that were measured to be fastest."""
