"""The sections of the report, in the words and order of the page."""
