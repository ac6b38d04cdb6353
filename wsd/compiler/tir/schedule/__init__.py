"""WSD's schedule rules for dlight, which tries them before its own."""
