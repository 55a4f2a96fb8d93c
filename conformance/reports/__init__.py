"""Reports of a run: the grid, the HTML page, the tables of the docs, the classic checks."""
