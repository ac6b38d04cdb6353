"""dlight schedule rules that are tried before dlight's own."""
