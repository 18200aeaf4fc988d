"""Documents for the eye: tables on a terminal, one HTML page, and the progress display before them."""
