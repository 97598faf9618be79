"""Names that scripts written for ClearML import from its `utilities`."""
