"""From records to figures: pure functions that know neither clocks nor files."""
